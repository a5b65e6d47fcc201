//! Lists of keys and stores of devices, among them the examples of Californium's own documents.

use super::{
    super::{Entry, Format, Rows},
    *,
};

/// Rows as `line key secret name`, and faults as `line column: message`.
fn read(text: &str) -> Vec<String> {
    let mut rows = Rows::open_as(text.as_bytes(), "pk", Some(Format::Psk)).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = rows.next().unwrap() {
        found.push(match entry {
            Entry::Row(row) => {
                let secret = row.device_secret.expect("each has one");
                let name = row.name.unwrap_or_default();
                format!("{} {} {} {name}", row.line, row.device_key, secret.expose())
            }
            Entry::Fault(fault) => {
                let column = fault.column.map(|column| format!(" {column}")).unwrap_or_default();
                format!("{}{column}: {}", fault.line, fault.message)
            }
        });
    }
    found
}

#[test]
fn a_list_of_identities_has_a_row_on_each_line() {
    let text = "# keys\n\nd1=c2VjcmV0UFNL\nd2 = :0x00FF10\nd3='plain text'\n\
                867725030096431=AP8QAP8QAP8Q\n'd5' = \"it's\"\n\"d=6\"=:0xff\na.b=c2VjcmV0UFNL\n";
    assert_eq!(
        read(text),
        [
            "3 d1 secretPSK ",
            "4 d2 00ff10 ",
            "5 d3 plain text ",
            "6 867725030096431 00ff1000ff1000ff10 ",
            "7 d5 it's ",
            "8 d=6 ff ",
            "9 a.b secretPSK ",
        ]
    );
    assert_eq!(read(""), Vec::<String>::new());
    assert_eq!(
        read("d1\nd2=!\nd3=:0x1\nd4='a\nd5=\n'd6=:0xff\nd7=\"a'\nd8='\n"),
        [
            "1 deviceKey: it is not identity=key",
            "2 deviceSecret: it is not base64; hexadecimal begins with :0x, plain text stands in quotes",
            "3 deviceSecret: it is not hexadecimal",
            "4 deviceSecret: a quote is opened but not closed",
            "5 deviceSecret: it is empty",
            "6 deviceKey: a quote is opened but not closed",
            "7 deviceSecret: a quote is opened but not closed",
            "8 deviceSecret: a quote is opened but not closed",
        ]
    );
}

#[test]
fn a_group_is_never_a_secret() {
    // With no other line that tells a store from a list, its shortness does.
    let [fault] = &read("DemoDevice2 = Demo\n")[..] else { panic!("it is one line") };
    assert!(fault.starts_with("1 deviceSecret: it has fewer than 8 bytes"), "{fault}");
    // Wherever the line is that does.
    let many: String = (0..2000).map(|n| format!("Device{n}=MonitoringGroup1\n")).collect();
    let found = read(&format!("{many}.psk='d',c2VjcmV0UFNL\n"));
    assert_eq!((found.len(), &*found[1999]), (2000, "2001 d secretPSK Device1999"));
    assert!(
        found[..1999]
            .iter()
            .all(|line| line.ends_with("the device has no .psk= line; nothing else is imported"))
    );
}

/// The example of the class that reads such a store.
const STORE: &str = "\
# base64 secret
DemoClient=Demo
.psk='Client_identity',c2VjcmV0UFNL
.rpk=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQxYO5/M5ie6+3QPOaAy5MD6CkFILZwIb2rOBCX/EWPaocX1H+\
     eynUnaEEbmqxeN6rnI==

# PSK only, hexadecimal secret
DemoDevice1=Demo
.psk='Device_identity',:0x010203040506

# RPK only, base64 certificate and signature
DemoDevice2=Demo
.rpk=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZRd+6w2dbCoDlIhrbkBkQdEHkiayS3CUgWYOanlU5curNy3H+\
     MOheCqbmPZJdQud8KNvXX==
.sig=BAMARzBFAiEAioj8fh5VrTYMz93XakmlCS283zAv8JxWcpADnbwlhGwCIDwm5mEXP8MBV1o7w08a79d+y84w8\
     1vW9LgP8QbDCp/p

# x509
DemoDevice3=Demo
.x509=
-----BEGIN CERTIFICATE-----
MIICAjCCAaigAwIBAgIJAJvzugZ7RkwVMAoGCCqGSM49BAMCMFwxEDAOBgNVBAMT
B2NmLXJvb3QxFDASBgNVBAsTC0NhbGlmb3JuaXVtMRQwEgYDVQQK
-----END CERTIFICATE-----
";

#[test]
fn a_store_of_devices_has_names_groups_and_keys_that_are_not_imported() {
    let others = "the device has no .psk= line; nothing else is imported";
    let expected = [
        "3 Client_identity secretPSK DemoClient".to_owned(),
        "8 Device_identity 010203040506 DemoDevice1".to_owned(),
        format!("11: {others}"),
        format!("16: {others}"),
    ];
    assert_eq!(read(STORE), expected);
    // In any order of its devices.
    let parts: Vec<_> = STORE.split("\n\n").collect();
    let turned = parts.iter().rev().copied().collect::<Vec<_>>().join("\n\n");
    let rows = |text: &str| {
        let words = |line: String| line.split_once(' ').map(|(_, rest)| rest.to_owned());
        let mut rows: Vec<_> = read(text).into_iter().filter_map(words).collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(rows(&turned), rows(STORE));
}

#[test]
fn names_with_dots_labels_and_fields_of_others_are_what_they_are() {
    let text = "Demo.10034780012=Thing\n.label=My Demo Weatherstation\n# default\n\
                .psk='Client_identity',c2VjcmV0UFNL\n.fdest=https://api.example/data\n.fauth=Header a: ??\n\
                .fresp=.*\"status\":true,.*\n.mine=MFkw\n\nDemo.10560970055=Thing\n\
                .psk=\"cali.0012345\",'secretPSK'\n\nca.1=Admin\n.type=ca\n.x509=\n\
                -----BEGIN CERTIFICATE-----\nMIIB6jCCAZCgAwIBAgIIVcDM\n-----END CERTIFICATE-----\n\
                Demo3.group=Thing\n.psk=cali.3,\"plain\"\nDemo4.psk='d4',:0xabcd\n\
                Demo5=Thing\n.psk=d5,:0xab\n.ban=1\nDemo6=Thing\n.prov=1\n.psk=d6,:0xab\n\
                Demo7=Thing\n.ban=0\n.type=dev\n.PSK=d7,Demo\n";
    assert_eq!(
        read(text),
        [
            "4 Client_identity secretPSK Demo.10034780012",
            "11 cali.0012345 secretPSK Demo.10560970055",
            "13: it is no device, as its .type says",
            "20 cali.3 plain Demo3",
            "21 d4 abcd Demo4",
            "22: the device is banned (.ban)",
            "25: it is for provisioning (.prov), and no device",
            "31 d7 0de9a8 Demo7",
        ]
    );
}

#[test]
fn a_line_of_a_store_that_cannot_be_understood_is_a_fault_with_its_place() {
    let text = ".psk='d0',:0xab\nDemo1=Thing\nwhat is this\n.psk='d1,:0xab\nDemo2=Thing\n.psk='d2' :0xab\n\
                Demo3=Thing\n.psk=d3\nDemo4=Thing\n.psk=d4,:0xa\nDemo5=Thing\n.psk=d5,:0xab\n\
                .psk=d6,:0xab\n.x509=\n-----BEGIN CERTIFICATE-----\nMIIB\nDemo7=Thing\n.psk=d7,:0xab\n\
                -----BEGIN CERTIFICATE-----\n";
    let mut found = read(text);
    found.sort_by_key(|line| line.split([' ', ':']).next().unwrap().parse::<u64>().unwrap());
    assert_eq!(
        found,
        [
            "1: no line NAME=GROUP is before it",
            "3: it is none of NAME=GROUP, .FIELD=VALUE and a certificate",
            "4 deviceKey: a quote is opened but not closed",
            "6 deviceKey: no comma and no key follow the identity",
            "8 deviceKey: no comma and no key follow the identity",
            "10 deviceSecret: it is not hexadecimal",
            "12 d5 ab Demo5",
            "13: the device has a .psk= line already",
            "15: the certificate that begins here has no end",
            "18 d7 ab Demo7",
            "19: the certificate that begins here has no end",
        ]
    );
}

#[test]
fn base64_is_read_with_padding_and_without_and_anything_else_is_none() {
    for (text, bytes) in
        [("", &b""[..]), ("Zg==", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo"), ("-_8=", b"\xfb\xff")]
    {
        assert_eq!(base64(text).as_deref().map(Vec::as_slice), Some(bytes), "{text}");
    }
    for text in ["Z", "Zm9vZ", "Z m9", "Zm9v!"] {
        assert_eq!(base64(text), None, "{text}");
    }
}
