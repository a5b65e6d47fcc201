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

/// Code of a piggybacked answer to this message, as 0xcdd.
#[track_caller]
pub(crate) fn code_of(answer: &[u8], mid: u16) -> u8 {
    let token = usize::from(answer[0] & 15);
    assert_eq!((answer[0] >> 4, &answer[2..4]), (6, &mid.to_be_bytes()[..]), "{answer:02x?} {token}");
    answer[1]
}
