//! Published vectors against the functions that the records use: `vectors/ccm8.txt` and Project Wycheproof.
//! They live here and not in `tests/`, because the suites are not part of the crate's interface.

use ccm::{
    NonceSize,
    aead::array::{Array, ArraySize},
    consts::{U12, U13},
};
use wycheproof::TestResult;

use super::{cbc_sha256, ccm8};

/// Seals and opens one vector through the records' functions.
fn check_ccm8<N: ArraySize + NonceSize>(
    name: &str,
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    plain: &[u8],
    sealed: &[u8],
) {
    let key: &[u8; 16] = key.try_into().expect("a key of 16 bytes");
    let nonce = Array::<u8, N>::try_from(nonce).expect("a nonce of this length");
    let (ciphertext, tag) = sealed.split_last_chunk::<8>().expect("a tag of 8 bytes");
    let mut buffer = plain.to_vec();
    assert_eq!(&ccm8::seal_in_place(key, &nonce, aad, &mut buffer), tag, "{name}");
    assert_eq!(buffer, ciphertext, "{name}");
    assert!(ccm8::open_in_place(key, &nonce, aad, &mut buffer, tag), "{name}");
    assert_eq!(buffer, plain, "{name}");
    let mut buffer = ciphertext.to_vec();
    let mut wrong = *tag;
    wrong[7] ^= 1;
    assert!(!ccm8::open_in_place(key, &nonce, aad, &mut buffer, &wrong), "{name}");
}

#[test]
fn rfc_3610_and_nist_vectors_with_8_byte_tags_fit() {
    let mut count = 0;
    let text = include_str!("../../../../vectors/ccm8.txt");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes: Vec<Vec<u8>> =
            words[1..].iter().map(|word| hex::decode(word.trim_matches('-')).expect("hex")).collect();
        let [key, nonce, aad, plain, sealed] = &bytes[..] else {
            panic!("a vector has six words: {line}");
        };
        check_ccm8::<U13>(words[0], key, nonce, aad, plain, sealed);
        count += 1;
    }
    assert_eq!(count, 22);
}

#[test]
fn wycheproof_ccm_vectors_of_our_lengths_fit() {
    let set =
        wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesCcm).expect("the set is in the crate");
    let mut count = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 128 && group.tag_size == 64) {
        for test in &group.tests {
            let name = format!("wycheproof {}", test.tc_id);
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            // The set calls our tag size acceptable and lower ones too; what is modified is invalid.
            if test.result == TestResult::Invalid {
                let nonce = Array::<u8, U12>::try_from(&test.nonce[..]).expect("12 bytes");
                let key = test.key[..].try_into().expect("16 bytes");
                let tag = test.tag[..].try_into().expect("8 bytes");
                assert!(!ccm8::open_in_place(key, &nonce, &test.aad, &mut test.ct.to_vec(), tag), "{name}");
            } else {
                check_ccm8::<U12>(&name, &test.key, &test.nonce, &test.aad, &test.pt, &sealed);
            }
            count += 1;
        }
    }
    assert_eq!(count, 8);
}

#[test]
fn wycheproof_hmac_sha256_vectors_fit() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256)
        .expect("the set is in the crate");
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mac = cbc_sha256::hmac_sha256(&test.key, &[&test.msg]);
            let fits = mac[..group.tag_size / 8] == test.tag[..];
            assert_eq!(fits, test.result == TestResult::Valid, "wycheproof {}", test.tc_id);
            count += 1;
        }
    }
    assert!(count > 100);
}

#[test]
fn wycheproof_aes_cbc_vectors_fit() {
    let set = wycheproof::cipher::TestSet::load(wycheproof::cipher::TestName::AesCbcPkcs5);
    let set = set.expect("the set is in the crate");
    let mut count = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 128) {
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            // PKCS 5 pads with the number of bytes; the records' own padding is not part of these functions.
            let padding = 16 - test.pt.len() % 16;
            let mut plain = test.pt.to_vec();
            plain.resize(plain.len() + padding, padding as u8);
            let key = test.key[..].try_into().expect("16 bytes");
            let iv = test.nonce[..].try_into().expect("16 bytes");
            let mut buffer = plain.clone();
            cbc_sha256::encrypt(key, iv, &mut buffer);
            assert_eq!(buffer, test.ct[..], "wycheproof {}", test.tc_id);
            cbc_sha256::decrypt(key, iv, &mut buffer);
            assert_eq!(buffer, plain, "wycheproof {}", test.tc_id);
            count += 1;
        }
    }
    assert!(count > 20);
}
