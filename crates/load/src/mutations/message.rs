//! Changes to CoAP messages.

use narrowgate_sim::random::SeededRandom;

/// Longest message to build.
const MESSAGE_BYTES_MAX: usize = 1200;

/// A message like `message`, with one to four changes.
pub(super) fn mutate_message(message: &[u8], dice: &mut SeededRandom) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..=dice.index(4) {
        change(&mut message, dice);
    }
    message.truncate(MESSAGE_BYTES_MAX);
    message
}

fn change(message: &mut Vec<u8>, dice: &mut SeededRandom) {
    if message.is_empty() {
        message.push(dice.index(256) as u8);
        return;
    }
    let at = dice.index(message.len());
    match dice.index(11) {
        0 => message[at] ^= 1 << dice.index(8),
        1 => message[at] = dice.index(256) as u8,
        2 => message.truncate(at),
        3 => message.insert(at, dice.pick(&[0x00, 0x0d, 0x0e, 0xd0, 0xdd, 0xe0, 0xee, 0xf0, 0xff])),
        // Version, type and length of the token.
        4 => message[0] = dice.index(256) as u8,
        5 => message[0] = 0x40 | (dice.index(4) << 4) as u8 | dice.index(16) as u8,
        // Code.
        6 if message.len() > 1 => {
            message[1] = dice.pick(&[0, 1, 2, 3, 4, 5, 31, 0x44, 0x45, 0x84, 0xe0, 0xff]);
        }
        // Many options, most of them empty.
        7 => {
            let many = dice.index(300);
            let option = dice.pick(&[0x00, 0x10, 0x01, 0xb0]);
            message.splice(at..at, std::iter::repeat_n(option, many));
        }
        // An option of any number with a long value.
        8 => {
            let delta = dice.index(65_536) as u16;
            let option = [&[0xed][..], &delta.to_be_bytes(), &[200], &[0x61; 213]].concat();
            let place = at.max(message.len().min(4));
            message.splice(place..place, option);
        }
        9 => message.extend_from_slice(&[0xff; 3]),
        _ => {
            let again = message[at..].to_vec();
            message.extend(again);
        }
    }
}
