//! Happenings as a row of the table has them: JSON.

use narrowgate_platform::{
    ids::UnixMillis,
    model::happened::{Happening, Login},
};

use super::super::digits::push_number;

/// What one write has caused, as a row has it: where it is one, itself, else a list. With the time of the
/// first. `None`: it has caused nothing.
pub(in crate::sqlite) fn told(happenings: &[Happening]) -> rusqlite::Result<Option<(UnixMillis, String)>> {
    let Some(first) = happenings.first() else { return Ok(None) };
    let text = match (logins(happenings), happenings) {
        (Some(text), _) => Ok(text),
        (None, [one]) => serde_json::to_string(one),
        (None, several) => serde_json::to_string(several),
    };
    let text = text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok(Some((first.time(), text)))
}

/// The reverse of [`told`]; `None`: it is damaged. Nothing is told by the empty text of a purged device.
pub(super) fn read_told(what: &str) -> Option<Vec<Happening>> {
    match what.as_bytes().first() {
        None => Some(Vec::new()),
        Some(b'[') => serde_json::from_str(what).ok(),
        Some(_) => serde_json::from_str(what).ok().map(|one| vec![one]),
    }
}

/// Logins, byte for byte as `serde_json` writes them. Most rows are logins, and this costs a small part of
/// what it costs there. `None`: it is something else, or a text has to be escaped.
fn logins(happenings: &[Happening]) -> Option<String> {
    let mut text = String::with_capacity(256);
    let (begin, end) = if happenings.len() == 1 { ("", "") } else { ("[", "]") };
    text.push_str(begin);
    for (number, happening) in happenings.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        push_login(&mut text, happening)?;
    }
    text.push_str(end);
    Some(text)
}

fn push_login(text: &mut String, happening: &Happening) -> Option<()> {
    let (event, login) = match happening {
        Happening::Activated(login) => ("activated", login),
        Happening::Login(login) => ("login", login),
        _ => return None,
    };
    let Login { time, device: None, peer: Some(peer), detail: Some(detail) } = login else { return None };
    if !is_plain(peer) || !is_plain(detail) {
        return None;
    }
    text.push_str("{\"time\":");
    push_number(text, time.0);
    for part in [",\"event\":\"", event, "\",\"peer\":\"", peer, "\",\"detail\":\"", detail, "\"}"] {
        text.push_str(part);
    }
    Some(())
}

/// Whether it is the same in JSON.
fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    text.bytes().fold(true, |all, byte| all & is_plain(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(time: i64, peer: Option<&str>, detail: Option<&str>) -> Login {
        let owned = |text: &str| text.to_owned();
        Login { time: UnixMillis(time), device: None, peer: peer.map(owned), detail: detail.map(owned) }
    }

    #[test]
    fn logins_are_as_json_has_them_whatever_their_texts() {
        let plain = login(1_700_000_000_123, Some("[2001:db8::1]:5684"), Some("TLS_PSK_WITH_AES_128_CCM_8"));
        assert!(logins(&[Happening::Login(plain.clone())]).is_some());
        let every: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        let texts = (0..=0x17f).filter_map(char::from_u32).map(String::from).chain([every, String::new()]);
        let others = texts.flat_map(|text| {
            [login(-1, Some(&text), Some("x")), login(0, Some("x"), Some(&text)), login(1, None, Some(&text))]
        });
        for one in others.chain([plain.clone(), login(i64::MIN, None, None)]) {
            for several in [
                vec![Happening::Login(one.clone())],
                vec![Happening::Activated(one.clone()), Happening::Login(plain.clone())],
                vec![Happening::Login(one.clone()), Happening::Login(plain.clone()), Happening::Login(one)],
            ] {
                let right = match &several[..] {
                    [one] => serde_json::to_string(one),
                    several => serde_json::to_string(several),
                };
                let (time, text) = told(&several).unwrap().unwrap();
                assert_eq!((time, &text), (several[0].time(), &right.unwrap()));
                let read = serde_json::to_string(&read_told(&text).unwrap()).unwrap();
                assert_eq!(read, serde_json::to_string(&several).unwrap());
            }
        }
        assert!(told(&[]).unwrap().is_none());
        assert!(read_told("").unwrap().is_empty());
        assert!(read_told("[{").is_none());
    }
}
