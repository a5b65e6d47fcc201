"""What this version does not do yet. The cases check what happens instead; who adds one of these sets it to
True.
"""

SERVES_CONNECTION_ID = False  # RFC 9146. Until then an offer stays unanswered and the session works without.
SESSIONS_OUTLIVE_THE_PROCESS = (
    False  # Until then records of before a restart meet silence, and a new handshake works.
)
TAKES_FINISHED_IN_FRAGMENTS = True  # RFC 6347, section 4.2.3.
