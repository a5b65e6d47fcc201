//! What files become: rows and faults with their lines.

use std::{cell::Cell, io, rc::Rc};

use proptest::prelude::*;

use super::*;

/// The rows, and the faults, as text.
fn read(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut rows = Rows::open(bytes, "pk").unwrap();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    while let Some(entry) = rows.next().unwrap() {
        match entry {
            Entry::Row(row) => {
                let secret = row.device_secret.as_ref().map(|secret| secret.expose().to_owned());
                good.push(format!("{} {} {secret:?} {:?}", row.line, row.device_key, row.name));
            }
            Entry::Fault(ImportFault { line, column, message }) => {
                bad.push(format!("{line} {}: {message}", column.unwrap_or_default()));
            }
        }
    }
    (good, bad)
}

#[track_caller]
fn assert_read(text: &str, rows: &[&str], faults: &[&str]) {
    let (good, bad) = read(text.as_bytes());
    assert_eq!(good, rows, "{bad:?}");
    assert_eq!(bad.len(), faults.len(), "{bad:?}");
    for (found, expected) in bad.iter().zip(faults) {
        assert!(found.starts_with(expected), "{found}\nexpected {expected}");
    }
}

#[test]
fn columns_stand_in_any_order_and_the_last_two_are_optional() {
    assert_read(
        "\u{feff}name, deviceSecret ,deviceKey\r\n\"cellar, 3\",s1, d1\r\n\r\n,,d2\r\n",
        &[r#"2 d1 Some("s1") Some("cellar, 3")"#, "4 d2 None None"],
        &[],
    );
    assert_read("deviceKey\nd1\n", &["2 d1 None None"], &[]);
    assert_read("\n\ndeviceKey\nd1", &["4 d1 None None"], &[]);
}

#[test]
fn json_lines_have_the_same_names() {
    assert_read(
        "{\"deviceKey\":\"d1\",\"name\":\"n\"}\n\n{\"deviceKey\":\"d2\",\"deviceSecret\":\" s\"}",
        &[r#"1 d1 None Some("n")"#, r#"3 d2 Some(" s") None"#],
        &[],
    );
    assert_read(
        "{\"deviceKey\":\"d1\"}\n{\"devicekey\":\"d2\"}\n{\"deviceKey\":867725030096431}\n\
         {\"deviceKey\":\"8.67725E+14\"}\n\
         {\"deviceKey\":\"d3\",\"productKey\":\"pk\",\"assetId\":\"a\"}\n\
         {\"deviceKey\":\"d4\",\"productKey\":\"other\"}\n",
        &["1 d1 None None", "5 d3 None None"],
        &[
            "2 : unknown field `devicekey`",
            "3 deviceKey: it is a number; write it in quotation marks",
            "4 deviceKey: a spreadsheet has turned it into a rounded number",
            "6 productKey: it is not pk, the product that the devices are imported for",
        ],
    );
}

#[test]
fn a_name_has_as_many_characters_as_that_of_a_single_device() {
    let (long, longer) = ("水".repeat(128), "水".repeat(129));
    assert_read(
        &format!("deviceKey,name\nd1,{long}\nd2,{longer}\n"),
        &[&format!("2 d1 None Some({long:?})")],
        &["3 name: it has 129 characters; at most 128 are allowed"],
    );
}

#[test]
fn a_row_with_a_fault_is_told_its_place_and_the_others_go_on() {
    let long = "x".repeat(257);
    let text = format!("deviceKey,name\nd1,a\nd2\n,b\nd1,c\n{long},d\nd3,e\nd4,f,g\nd5;h\n");
    assert_read(
        &text,
        &[r#"2 d1 None Some("a")"#, r#"7 d3 None Some("e")"#],
        &[
            "3 : it has 1 field; the header has 2",
            "4 deviceKey: it is empty",
            "5 deviceKey: d1 is already on line 2",
            "6 deviceKey: it is longer than 256 bytes",
            "8 : it has 3 fields; the header has 2",
            "9 : it has 1 field; the header has 2 (it contains semicolons",
        ],
    );
}

#[test]
fn attack_214_blanks_inside_quotes_belong_to_a_secret_and_outside_it_is_asked() {
    assert_read(
        "deviceKey,deviceSecret,name\nts01,\" Z5YzQ \",\" n \"\nts02, Z5YzQ,a\nts03,Z5YzQ ,b\n\
         ts04, \"Z5YzQ\",c\n ts05 , , d \n",
        &[r#"2 ts01 Some(" Z5YzQ ") Some(" n ")"#, r#"6 ts05 None Some("d")"#],
        &[
            "3 deviceSecret: there are blanks before or after it",
            "4 deviceSecret: there are blanks before or after it",
            "5 deviceSecret: there are blanks before or after it",
        ],
    );
    // The registry refuses it, as it refuses blanks in any key.
    assert_read("deviceKey\n\" ts01\"\n", &["2  ts01 None None"], &[]);
}

#[test]
fn attack_214_a_quote_that_is_not_closed_is_a_fault_of_its_line_alone() {
    assert_read(
        "deviceKey,deviceSecret\nts01,aaa\nts02,\"bbb\nts03,ccc\nts04,\"ddd\"\nts05,\"eee",
        &[r#"2 ts01 Some("aaa") None"#, r#"4 ts03 Some("ccc") None"#, r#"5 ts04 Some("ddd") None"#],
        &[
            "3 deviceSecret: a quote is opened but not closed",
            "6 deviceSecret: a quote is opened but not closed",
        ],
    );
    let many: String = (0..100).map(|number| format!("d{number},s\n")).collect();
    let (rows, faults) = read(format!("deviceKey,deviceSecret\n\"ts01,s\n{many}").as_bytes());
    assert_eq!((rows.len(), faults.len()), (100, 1), "{faults:?}");
}

#[test]
fn attack_214_a_quoted_field_over_several_lines_is_a_fault_of_each() {
    assert_read(
        "deviceKey,name\nd1,\"a\n\nb\"\nd2,c\nd3,\"e\nd4,f\nd5,g\"\nd6,h\n",
        &[r#"5 d2 None Some("c")"#, r#"9 d6 None Some("h")"#],
        &[
            "2 name: the quote that is opened here is closed on line 4; a row must be on one line",
            "4 : it is inside the quotes that are opened on line 2",
            "6 name: the quote that is opened here is closed on line 8",
            "7 : it is inside the quotes that are opened on line 6",
            "8 : it is inside the quotes that are opened on line 6",
        ],
    );
    // The continuation is no row, even if it looks like one.
    assert_read(
        "deviceSecret,deviceKey\n\"sec\nret\",d1\n",
        &[],
        &["2 deviceSecret: the quote", "3 : it is inside the quotes"],
    );
}

#[test]
fn attack_214_what_a_spreadsheet_has_damaged_is_refused() {
    assert_read(
        "deviceKey\n8.67725E+14\n867725030096430.0\n'867725030096431\n=\"867725030096432\"\n\
         imei0004;secret\nimei0005\tsecret\n867725030096436\n",
        &["8 867725030096436 None None"],
        &[
            "2 deviceKey: a spreadsheet has turned it into a rounded number",
            "3 deviceKey: a spreadsheet has turned it into a number and has added .0",
            "4 deviceKey: it begins with the apostrophe",
            "5 deviceKey: it is a spreadsheet formula",
            "6 deviceKey: it contains semicolons",
            "7 deviceKey: it contains tabs",
        ],
    );
    assert_read(
        "deviceKey,deviceSecret\nd1,8.67725E+14\nd2,'123456\nd3,\"=\"\"12345\"\"\"\nd4,=k7%Tq!z9\n",
        &[r#"5 d4 Some("=k7%Tq!z9") None"#],
        &[
            "2 deviceSecret: a spreadsheet",
            "3 deviceSecret: it begins",
            "4 deviceSecret: it is a spreadsheet formula",
        ],
    );
}

#[test]
fn empty_rows_and_empty_fields_at_the_end_are_no_fault() {
    assert_read(
        "deviceKey,deviceSecret,,\nd1,s1,,\nd2,s2,,,,\n,,\n,,,\n\"\",\"\"\n   \nd3,s3,x,\nd4,s4,,,y\n",
        &[r#"2 d1 Some("s1") None"#, r#"3 d2 Some("s2") None"#],
        &["8 : column 3 has no name in the header", "9 : it has 5 fields; the header has 4"],
    );
}

#[test]
fn what_secrets_out_writes_is_read() {
    let text = "assetId,productKey,deviceKey,deviceSecret\nAb3dEf6h,pk,d1,Z5YtZaQpK5IWocakV7zQ\n\
                Ab3dEf6i,other,d2,s\n\n\n";
    assert_read(
        text,
        &[r#"2 d1 Some("Z5YtZaQpK5IWocakV7zQ") None"#],
        &["3 productKey: it is not pk, the product"],
    );
    assert!(Rows::open(text.as_bytes(), "pk").unwrap().names_assets());
}

#[test]
fn a_list_of_devices_that_was_exported_is_read_with_its_texts_as_they_were() {
    let header = "assetId,productKey,deviceKey,name,state,enabled,createdTime,activeTime,lastOnlineTime,\
                  lastOfflineTime,lastSeenTime,lifetime\r\n";
    let rows =
        "Ab3dEf6h,pk,'+4917012,'=1+1,online,true,1,,,,,\r\nAb3dEf6i,pk,d2,'s,inactive,true,1,,,,,60\r\n";
    assert_read(
        &format!("{header}{rows}"),
        &[r#"2 +4917012 None Some("=1+1")"#, r#"3 d2 None Some("'s")"#],
        &[],
    );
    // With other columns it is no such list.
    let failure = Rows::open(&b"deviceKey,state\n"[..], "pk").err().expect("it is unknown").to_string();
    assert!(failure.contains("unknown field \"state\""), "{failure}");
}

#[test]
fn columns_without_a_name_at_the_end_may_be_left_out() {
    assert_read(
        "deviceKey,name,,\nd1,n\nd2,n,\nd3,n,,\nd4,n,,x\nd5\n",
        &[r#"2 d1 None Some("n")"#, r#"3 d2 None Some("n")"#, r#"4 d3 None Some("n")"#],
        &[
            "5 : column 4 has no name in the header, but this row has something in it",
            "6 : it has 1 field; the header has 4",
        ],
    );
}

#[test]
fn bytes_that_are_no_text_fail_their_row_only() {
    let (rows, faults) = read(b"deviceKey,name\nd1,\xff\nd2,b\n\0\0\0\nd\x003,c\nd4,a\rb\nd5,c\n");
    assert_eq!(rows, [r#"3 d2 None Some("b")"#, r#"7 d5 None Some("c")"#]);
    assert_eq!(
        faults,
        [
            "2 name: it is not UTF-8; save the file as UTF-8",
            "4 : it contains a NUL",
            "5 : it contains a NUL",
            "6 : it contains a carriage return",
        ]
    );
    let text: Vec<u8> =
        "\u{feff}deviceKey,name\r\nd1,Zähler\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&text).0, [r#"2 d1 None Some("Zähler")"#]);
}

#[test]
fn a_file_that_is_something_else_is_refused_as_a_whole() {
    for (bytes, reason) in [
        (&b"deviceKey\rd1\rd2\r"[..], "line feeds"),
        (b"[{\"deviceKey\":\"d1\"}]", "JSON lines"),
        (b"Ger\xe4t,deviceKey\n", "not UTF-8"),
        (b"", "does not name deviceKey"),
        (b"PK\x03\x04\x14\x00\x06\x00", "line 1"),
    ] {
        let failure = Rows::open(bytes, "pk").err().expect(reason).to_string();
        assert!(failure.contains(reason), "{failure}");
    }
}

/// A file without an end that counts what was read of it.
struct Endless {
    read: Rc<Cell<usize>>,
    next: Vec<u8>,
    number: u64,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.next.is_empty() {
            self.number += 1;
            self.next = format!("d{}\n", self.number).into_bytes();
        }
        let length = self.next.len().min(out.len());
        out[..length].copy_from_slice(&self.next[..length]);
        self.next.drain(..length);
        self.read.set(self.read.get() + length);
        Ok(length)
    }
}

#[test]
fn a_file_is_read_as_a_stream_and_not_without_end() {
    let bytes = Rc::new(Cell::new(0));
    let endless = Endless { read: bytes.clone(), next: b"deviceKey\n".to_vec(), number: 0 };
    let mut rows = Rows::open(endless, "pk").unwrap();
    for _ in 0..1000 {
        assert!(matches!(rows.next(), Ok(Some(Entry::Row(_)))));
    }
    assert!(bytes.get() < 64 * 1024, "{} bytes were read for 1000 rows", bytes.get());
    rows.count = ROWS_MAX - 10;
    let failure = loop {
        match rows.next() {
            Ok(entry) => assert!(entry.is_some()),
            Err(failure) => break failure.to_string(),
        }
    };
    assert!(failure.contains("more than 1000000 rows"), "{failure}");
}

proptest! {
    #[test]
    fn attack_214_every_line_that_is_not_empty_is_counted_once(
        lines in proptest::collection::vec("[ab\", ;'\0é]{0,8}|d[0-9]{3},\"?s\"?", 0..30),
        end in "(\r?\n)?",
    ) {
        let text = format!("deviceKey,name\n{}{end}", lines.join("\n"));
        let (rows, faults) = read(text.as_bytes());
        let mut numbers: Vec<usize> = rows
            .iter()
            .chain(&faults)
            .map(|entry| entry.split(' ').next().unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        // A line of nothing but separators, blanks and pairs of quotes is empty; whether it is one depends on
        // the lines before it only if they leave quotes open.
        let is_empty = |line: &str| {
            csv::split(line).is_ok_and(|fields| fields.iter().all(|field| field.text.is_empty()))
        };
        let expected = |line: &&(usize, &String)| !is_empty(line.1);
        let all: Vec<(usize, &String)> = (2..).zip(&lines).collect();
        let certain: Vec<usize> = all.iter().filter(expected).map(|(number, _)| *number).collect();
        prop_assert!(certain.iter().all(|number| numbers.contains(number)), "{certain:?} {numbers:?}");
        let mut once = numbers.clone();
        once.dedup();
        prop_assert_eq!(&once, &numbers);
        for number in numbers {
            let line = &lines[number - 2];
            prop_assert!(!line.trim().is_empty(), "{} is empty", number);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [b"deviceKey,deviceSecret\n", &bytes[..]].concat();
        let _ = read(&bytes);
        if let Ok(mut rows) = Rows::open(&bytes[23..], "pk") {
            while let Ok(Some(_)) = rows.next() {}
        }
    }
}
