//! Changes to real flights that keep enough of their shape to get past the first check: what a fuzzer would
//! need long to find. Everything follows from the seed.

use narrowgate_dtls::split_record;

use crate::random::SeededRandom;

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;

/// A datagram like `datagram`, with one to four changes. `others` are datagrams to take records from.
pub fn mutate(datagram: &[u8], others: &[Vec<u8>], random: &mut SeededRandom) -> Vec<u8> {
    let mut records = records_of(datagram);
    // Numbers that were not seen before, or most of it would be dropped as repeated.
    if random.index(2) == 0 {
        let sequence = 1000 + random.index(1 << 20) as u64;
        (0u64..).zip(&mut records).for_each(|(index, record)| renumber(record, sequence + index));
    }
    for _ in 0..=random.index(4) {
        if records.is_empty() {
            break;
        }
        change(&mut records, others, random);
    }
    records.concat()
}

fn change(records: &mut Vec<Vec<u8>>, others: &[Vec<u8>], random: &mut SeededRandom) {
    let index = random.index(records.len());
    match random.index(14) {
        0 => {
            let record = &mut records[index];
            let at = random.index(record.len());
            record[at] ^= 1 << random.index(8);
        }
        1 => {
            let record = &mut records[index];
            let at = random.index(record.len());
            record[at] = byte(random);
        }
        2 => {
            let keep = random.index(records[index].len());
            records[index].truncate(keep.max(1));
            if random.index(2) == 0 {
                fit_length(&mut records[index]);
            }
        }
        3 => {
            let more = random.index(300);
            records[index].extend((0..more).map(|_| byte(random)));
            if random.index(2) == 0 {
                fit_length(&mut records[index]);
            }
        }
        4 => records.insert(index, records[index].clone()),
        5 => {
            let other = random.index(records.len());
            records.swap(index, other);
        }
        6 => splice(records, index, others, random),
        7 => records[index][0] = random.pick(&[0, 20, 21, 22, 23, 24, 25, 255]),
        8 => put(&mut records[index], 1, &random.pick(&[0xfefdu16, 0xfeff, 0xfefc, 0x0303, 0]).to_be_bytes()),
        9 => put(&mut records[index], 3, &random.pick(&[0u16, 1, 2, 65_535]).to_be_bytes()),
        10 => {
            let near = random.index(200) as u64;
            renumber(&mut records[index], random.pick(&[0, near, 1 << 31, 1 << 47, (1 << 48) - 1]));
        }
        11 => {
            let length = random.pick(&[0, 1, 12, 500, 16_384 + 2048, 65_535]);
            put(&mut records[index], 11, &(length as u16).to_be_bytes());
        }
        12 => change_message_header(&mut records[index], random),
        _ => refragment(records, index, random),
    }
}

/// Puts a record of another datagram in, or its second half behind the first half of this one.
fn splice(records: &mut Vec<Vec<u8>>, index: usize, others: &[Vec<u8>], random: &mut SeededRandom) {
    if others.is_empty() {
        return;
    }
    let mut other = records_of(&others[random.index(others.len())]);
    let donor = other.swap_remove(random.index(other.len()));
    if random.index(2) == 0 {
        records.insert(index, donor);
    } else {
        let record = &mut records[index];
        record.truncate(record.len() / 2 + 1);
        record.extend_from_slice(&donor[donor.len() / 2..]);
        fit_length(record);
    }
}

/// One of type, length, message_seq, fragment_offset, fragment_length.
fn change_message_header(record: &mut [u8], random: &mut SeededRandom) {
    let u24 = |value: usize| (value as u32).to_be_bytes();
    let value = u24(random.pick(&[0, 1, 11, 12, 13, 100, 2047, 2048, 2049, 0xff_ffff]));
    let at = RECORD_HEADER;
    match random.index(5) {
        0 => put(record, at, &[random.pick(&[0, 1, 2, 3, 11, 12, 13, 14, 16, 20, 99])]),
        1 => put(record, at + 1, &value[1..]),
        2 => put(record, at + 4, &random.pick(&[0u16, 1, 2, 3, 4, 7, 255, 65_535]).to_be_bytes()),
        3 => put(record, at + 6, &value[1..]),
        _ => put(record, at + 9, &value[1..]),
    }
}

/// Cuts a message of epoch 0 into pieces that are well formed, overlap perhaps, and come in any order.
fn refragment(records: &mut Vec<Vec<u8>>, index: usize, random: &mut SeededRandom) {
    let whole = records[index].clone();
    let Some(body) = whole.get(RECORD_HEADER + MESSAGE_HEADER..).filter(|body| !body.is_empty()) else {
        return;
    };
    let chunk_max = 1 + random.index(body.len());
    let overlap = random.index(4);
    let mut pieces = Vec::new();
    for offset in (0..body.len()).step_by(chunk_max) {
        let end = (offset + chunk_max + overlap).min(body.len());
        let mut piece = whole[..RECORD_HEADER + MESSAGE_HEADER].to_vec();
        piece.extend_from_slice(&body[offset..end]);
        put(&mut piece, RECORD_HEADER + 6, &(offset as u32).to_be_bytes()[1..]);
        put(&mut piece, RECORD_HEADER + 9, &((end - offset) as u32).to_be_bytes()[1..]);
        renumber(&mut piece, 5000 + random.index(1 << 20) as u64);
        fit_length(&mut piece);
        pieces.push(piece);
    }
    if random.index(2) == 0 {
        pieces.reverse();
    }
    records.splice(index..=index, pieces);
}

/// What is there, record by record; what is no whole record comes last, as it is.
fn records_of(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut datagram = datagram.to_vec();
    let mut records = Vec::new();
    let mut rest = datagram.as_mut_slice();
    while !rest.is_empty() {
        let all = rest.len();
        let length = split_record(rest).map_or(all, |(record, _)| record.len());
        let (record, tail) = rest.split_at_mut(length);
        records.push(record.to_vec());
        rest = tail;
    }
    records
}

/// A byte, more often than not one at which something begins or ends.
fn byte(random: &mut SeededRandom) -> u8 {
    match random.index(3) {
        0 => random.pick(&[0, 1, 2, 12, 0x7f, 0x80, 0xfe, 0xff]),
        _ => random.index(256) as u8,
    }
}

fn renumber(record: &mut [u8], sequence: u64) {
    put(record, 5, &sequence.to_be_bytes()[2..]);
}

fn fit_length(record: &mut [u8]) {
    let length = record.len().saturating_sub(RECORD_HEADER) as u16;
    put(record, 11, &length.to_be_bytes());
}

/// Overwrites bytes, where they are there.
fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = record.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
