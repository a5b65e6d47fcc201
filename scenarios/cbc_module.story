# A module that offers CBC only gets CBC, beside one that offers all and gets CCM.
device old suite=cbc psk=k1
device new suite=all psk=k2
old tries to connect
expect old connected cbc within 3s
new tries to connect
expect new connected ccm8 within 3s
old posts  temp=1
expect old 2.04 within 3s
old pings
expect old pong within 3s
old closes
expect gw  sessions=1 sessions_closed_by_peer=1 within 3s
