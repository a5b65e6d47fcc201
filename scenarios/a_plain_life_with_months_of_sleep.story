# The same life by plain CoAP, once the device has its secret: commands ride in the answers, and sleep ends its login.
device factory      mode=product psk=c3PW03srd6c
factory connects
factory asks for its secret
expect factory      secret within 3s
device a            identity=factory at=factory psk=issued lifetime=3600 plain=yes
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
expect a            command within 3s
expect a            2.04 within 3s
expect commands a   sent
a answers its command with 200
expect a            2.04 within 3s
expect commands a   succeeded

# It sleeps and hears nothing. Its login ends with its lifetime, and what waits for it with its time to live.
network             loses everything for 92d
gw tells a to set   {"temp":31.5} within 48h
after 49h           expect commands a succeeded,expired
expect gw           sessions=0
after 90d           gw tells a to set {"temp":32.5} within 48h

# It wakes up and knows nothing of that: its report is answered 4.01, so it logs in anew.
after 1h            a posts temp=18.5
expect a            4.01 within 3s
expect a            closed within 3s
a connects
a posts             temp=18.6
expect a            command within 3s
expect a            2.04 within 3s
a answers its command with 200
expect a            2.04 within 3s
expect commands a   succeeded
expect attributes a {"serial":"A7"}
expect tags a       {"site":"north"}
expect events a     opened
expect store a      temp=21.5,19.5,21.6,18.6
