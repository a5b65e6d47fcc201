# From the factory on: activation, reports, an attribute, a tag, an event, commands, and three months of sleep.
server              idle_timeout=24h
device factory      mode=product psk=c3PW03srd6c
factory connects
factory asks for its secret
expect factory      secret within 3s
device a            identity=factory at=factory psk=issued lifetime=3600
factory powers off
a connects

a posts             temp=21.5
expect a            2.04 within 3s
a says              thing/measurepoint/resume {"measurepoints":{"temp":19.5},"time":1700000000000}
expect a            2.04 within 3s
a says              thing/attribute/update {"attributes":{"serial":"A7"}}
expect a            2.04 within 3s
a says              thing/tag/update [{"tagKey":"site","tagValue":"north"}]
expect a            2.04 within 3s
a says              thing/event/opened/post {"events":{"angle":7.5}}
expect a            2.04 within 3s

gw tells a to set   {"temp":30.5} within 48h
a posts             temp=21.6
expect a            2.04 within 3s
a fetches its command
expect a            2.05 within 3s
expect commands a   sent
a answers its command with 200
expect a            2.04 within 3s
expect commands a   succeeded

# It sleeps and hears nothing. What waits for it longer than its time to live is over, and its session ends.
network             loses everything for 92d
gw tells a to set   {"temp":31.5} within 48h
after 49h           expect commands a succeeded,expired
expect gw           sessions=0 sessions_closed_idle=1
after 90d           gw tells a to set {"temp":32.5} within 48h

# It wakes up and knows nothing of that: its report is not answered, so it connects anew.
after 1h            a posts temp=18.5
expect a            timeout within 5m
a connects
a posts             temp=18.6
expect a            2.04 within 3s
a fetches its command
expect a            2.05 within 3s
a answers its command with 200
expect a            2.04 within 3s
expect attributes a {"serial":"A7"}
expect tags a       {"site":"north"}
expect events a     opened
expect store a      temp=21.5,19.5,21.6,18.6
