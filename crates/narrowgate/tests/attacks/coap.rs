//! CoAP messages by hand.

pub(crate) fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

pub(crate) fn ping(mid: u16) -> Vec<u8> {
    message(0x40, 0, mid, &[])
}

pub(crate) fn reset(mid: u16) -> Vec<u8> {
    message(0x70, 0, mid, &[])
}

pub(crate) fn message(first: u8, code: u8, mid: u16, rest: &[u8]) -> Vec<u8> {
    [&[first, code][..], &mid.to_be_bytes(), rest].concat()
}

/// Uri-Path options of a path without a leading slash.
pub(crate) fn uri_path(path: &str) -> Vec<u8> {
    let mut options = Vec::new();
    for (index, segment) in path.split('/').enumerate() {
        let delta = if index == 0 { 0xb0 } else { 0 };
        match segment.len() {
            length @ 0..13 => options.push(delta | length as u8),
            length => options.extend([delta | 13, (length - 13) as u8]),
        }
        options.extend(segment.as_bytes());
    }
    options
}

/// A confirmable GET.
pub(crate) fn get(mid: u16, path: &str) -> Vec<u8> {
    message(0x40, 1, mid, &uri_path(path))
}

/// A confirmable POST of JSON.
pub(crate) fn post(mid: u16, path: &str, body: &str) -> Vec<u8> {
    let mut rest = uri_path(path);
    rest.extend([0x11, 50, 0xff]);
    rest.extend(body.as_bytes());
    message(0x40, 2, mid, &rest)
}

pub(crate) fn report(mid: u16, path: &str, value: u32) -> Vec<u8> {
    let body = format!(
        "{{\"id\":\"1\",\"version\":\"1.0\",\"params\":{{\"measurepoints\":{{\"temp\":{value}}}}},\
         \"method\":\"thing.measurepoint.post\"}}"
    );
    post(mid, path, &body)
}

/// A confirmable POST of JSON with these options more; numbers may stand in any order.
pub(crate) fn report_with(mid: u16, path: &str, options: &[(u16, &[u8])], body: &[u8]) -> Vec<u8> {
    let mut all: Vec<(u16, &[u8])> = path.split('/').map(|segment| (11, segment.as_bytes())).collect();
    all.push((12, &[50]));
    all.extend(options);
    all.sort_by_key(|(number, _)| *number);
    let (mut rest, mut last) = (Vec::new(), 0);
    for (number, value) in all {
        let nibble = |number: u16| match number {
            0..13 => (number as u8, vec![]),
            13..269 => (13, vec![(number - 13) as u8]),
            _ => (14, (number - 269).to_be_bytes().to_vec()),
        };
        let ((delta, more_delta), (length, more_length)) =
            (nibble(number - last), nibble(value.len() as u16));
        rest.push(delta << 4 | length);
        rest.extend([&more_delta[..], &more_length, value].concat());
        last = number;
    }
    if !body.is_empty() {
        rest.push(0xff);
        rest.extend(body);
    }
    message(0x40, 2, mid, &rest)
}

/// Options and payload of an answer.
#[track_caller]
pub(crate) fn take_apart(answer: &[u8]) -> (Vec<(u16, Vec<u8>)>, Vec<u8>) {
    let (mut options, mut number) = (Vec::new(), 0);
    let mut rest = answer.get(4 + usize::from(answer[0] & 15)..).expect("a token");
    while let [first, after @ ..] = rest
        && *first != 0xff
    {
        let (mut after, mut extended) = (after, [u16::from(first >> 4), u16::from(first & 15)]);
        for value in &mut extended {
            match *value {
                13 => (*value, after) = (u16::from(after[0]) + 13, &after[1..]),
                14 => (*value, after) = (u16::from_be_bytes([after[0], after[1]]) + 269, &after[2..]),
                _ => {}
            }
        }
        number += extended[0];
        let (value, behind) = after.split_at(usize::from(extended[1]));
        options.push((number, value.to_vec()));
        rest = behind;
    }
    (options, rest.get(1..).unwrap_or_default().to_vec())
}

/// Code of a piggybacked answer to this message, as 0xcdd.
#[track_caller]
pub(crate) fn code_of(answer: &[u8], mid: u16) -> u8 {
    let token = usize::from(answer[0] & 15);
    assert_eq!((answer[0] >> 4, &answer[2..4]), (6, &mid.to_be_bytes()[..]), "{answer:02x?} {token}");
    answer[1]
}
