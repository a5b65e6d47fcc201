# Answers are kept for as long as their requests may come again, and not longer.
device a   psk=k1
a connects
a posts    temp=21.5
expect a   2.04 within 3s
after 240s expect gw stored_answer_bytes>=1
after 10s  expect gw stored_answer_bytes=0 sessions=1
