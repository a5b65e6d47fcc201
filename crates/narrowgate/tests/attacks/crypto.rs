//! Key schedule and record protection of a client, written for these tests alone: it makes what an honest one
//! never would.

use aes::{
    Aes128,
    cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, consts::U16},
};
use ccm::{
    AeadInOut, Ccm,
    consts::{U8, U12},
};
use hmac::{Hmac, KeyInit, Mac};
use narrowgate_testkit::record::record;
use sha2::{Digest as _, Sha256};

/// The three ways to protect a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Ccm8,
    CbcEncryptThenMac,
    CbcMacThenEncrypt,
}

impl Protection {
    pub(crate) const ALL: [Self; 3] = [Self::Ccm8, Self::CbcEncryptThenMac, Self::CbcMacThenEncrypt];

    pub(crate) fn suite(self) -> [u8; 2] {
        match self {
            Self::Ccm8 => [0xc0, 0xa8],
            Self::CbcEncryptThenMac | Self::CbcMacThenEncrypt => [0x00, 0xae],
        }
    }
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// P_SHA256 of RFC 5246, section 5.
pub(crate) fn prf(secret: &[u8], label: &str, seed: &[u8], length: usize) -> Vec<u8> {
    let seed = [label.as_bytes(), seed].concat();
    let mut a = hmac(secret, &[&seed]);
    let mut out = Vec::new();
    while out.len() < length {
        out.extend(hmac(secret, &[&a, &seed]));
        a = hmac(secret, &[&a]);
    }
    out.truncate(length);
    out
}

/// RFC 4279, section 2.
pub(crate) fn premaster(psk: &[u8]) -> Vec<u8> {
    let length = (psk.len() as u16).to_be_bytes();
    [&length[..], &vec![0; psk.len()], &length, psk].concat()
}

/// Both directions.
#[derive(Clone)]
pub(crate) struct Keys {
    protection: Protection,
    pub(crate) client: Direction,
    pub(crate) server: Direction,
}

#[derive(Clone)]
pub(crate) struct Direction {
    key: [u8; 16],
    mac: Vec<u8>,
    salt: Vec<u8>,
}

impl Keys {
    pub(crate) fn new(protection: Protection, master: &[u8], server_then_client: &[u8]) -> Self {
        let (mac, salt) = if protection == Protection::Ccm8 { (0, 4) } else { (32, 0) };
        let block = prf(master, "key expansion", server_then_client, 2 * (mac + 16 + salt));
        let mut rest = block.as_slice();
        let mut take = |length: usize| rest.split_off(..length).unwrap().to_vec();
        let (client_mac, server_mac) = (take(mac), take(mac));
        let (client_key, server_key) = (take(16), take(16));
        let (client_salt, server_salt) = (take(salt), take(salt));
        let direction = |key: Vec<u8>, mac, salt| Direction { key: key.try_into().unwrap(), mac, salt };
        Self {
            protection,
            client: direction(client_key, client_mac, client_salt),
            server: direction(server_key, server_mac, server_salt),
        }
    }

    /// The same key bytes used in another way.
    pub(crate) fn set_protection(&mut self, protection: Protection) {
        self.protection = protection;
    }

    /// A record of the client with everything as it should be.
    pub(crate) fn seal(&self, content_type: u8, epoch: u16, sequence: u64, content: &[u8]) -> Vec<u8> {
        match self.protection {
            Protection::Ccm8 => {
                let number = number(epoch, sequence);
                let mut buffer = content.to_vec();
                let nonce = nonce(&self.client.salt, &number);
                let aad = authenticated(content_type, &number, content.len());
                let cipher = Ccm::<Aes128, U8, U12>::new((&self.client.key).into());
                let tag = cipher.encrypt_inout_detached(&nonce, &aad, buffer.as_mut_slice().into()).unwrap();
                let fragment = [&number[..], &buffer, &tag].concat();
                record(content_type, 0xfefd, epoch, sequence, &fragment)
            }
            _ => self.seal_padded(content_type, epoch, sequence, content, &good_padding(self.inner(content))),
        }
    }

    /// How long content and what is encrypted with it are, without padding.
    pub(crate) fn inner(&self, content: &[u8]) -> usize {
        content.len() + if self.protection == Protection::CbcMacThenEncrypt { 32 } else { 0 }
    }

    /// The same with any padding, its length byte included, around a good MAC. For CBC only.
    pub(crate) fn seal_padded(
        &self,
        content_type: u8,
        epoch: u16,
        sequence: u64,
        content: &[u8],
        padding: &[u8],
    ) -> Vec<u8> {
        let number = number(epoch, sequence);
        let keys = &self.client;
        let mut inner = content.to_vec();
        if self.protection == Protection::CbcMacThenEncrypt {
            let prefix = authenticated(content_type, &number, content.len());
            inner.extend(hmac(&keys.mac, &[&prefix, content]));
        }
        inner.extend(padding);
        // A different one for each record; nobody looks at how it came about.
        let iv: [u8; 16] = *sha256(&[&number[..], content].concat()).first_chunk().unwrap();
        let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(&mut inner);
        assert!(rest.is_empty(), "whole blocks");
        cbc::Encryptor::<Aes128>::new((&keys.key).into(), (&iv).into()).encrypt_blocks(blocks);
        let mut fragment = [&iv[..], &inner].concat();
        if self.protection == Protection::CbcEncryptThenMac {
            let prefix = authenticated(content_type, &number, fragment.len());
            fragment.extend(hmac(&keys.mac, &[&prefix, &fragment]));
        }
        record(content_type, 0xfefd, epoch, sequence, &fragment)
    }

    /// Content type and content of a record of the server.
    pub(crate) fn open(&self, record: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (header, fragment) = record.split_first_chunk::<13>()?;
        let number: [u8; 8] = *header[3..].first_chunk()?;
        let keys = &self.server;
        let content = if self.protection == Protection::Ccm8 {
            let (explicit, rest) = fragment.split_first_chunk::<8>()?;
            let (sealed, tag) = rest.split_last_chunk::<8>()?;
            let mut content = sealed.to_vec();
            let aad = authenticated(header[0], &number, content.len());
            let cipher = Ccm::<Aes128, U8, U12>::new((&keys.key).into());
            let opened = cipher.decrypt_inout_detached(
                &nonce(&keys.salt, explicit),
                &aad,
                content.as_mut_slice().into(),
                tag.into(),
            );
            opened.ok()?;
            content
        } else {
            let mut sealed = fragment;
            if self.protection == Protection::CbcEncryptThenMac {
                let (rest, mac) = fragment.split_last_chunk::<32>()?;
                let prefix = authenticated(header[0], &number, rest.len());
                (hmac(&keys.mac, &[&prefix, rest]) == *mac).then_some(())?;
                sealed = rest;
            }
            let (iv, inner) = sealed.split_first_chunk::<16>()?;
            let mut inner = inner.to_vec();
            let (blocks, _) = Array::<u8, U16>::slice_as_chunks_mut(&mut inner);
            cbc::Decryptor::<Aes128>::new((&keys.key).into(), iv.into()).decrypt_blocks(blocks);
            let padding = usize::from(*inner.last()?) + 1;
            inner.truncate(inner.len().checked_sub(padding)?);
            if self.protection == Protection::CbcMacThenEncrypt {
                let mac = inner.split_off(inner.len().checked_sub(32)?);
                let prefix = authenticated(header[0], &number, inner.len());
                (hmac(&keys.mac, &[&prefix, &inner])[..] == mac).then_some(())?;
            }
            inner
        };
        Some((header[0], content))
    }
}

/// The shortest padding after so many bytes, its length byte included.
pub(crate) fn good_padding(inner: usize) -> Vec<u8> {
    let length = 16 - inner % 16;
    vec![length as u8 - 1; length]
}

fn number(epoch: u16, sequence: u64) -> [u8; 8] {
    (u64::from(epoch) << 48 | sequence).to_be_bytes()
}

fn nonce(salt: &[u8], explicit: &[u8; 8]) -> Array<u8, U12> {
    let mut nonce = Array::default();
    nonce[..4].copy_from_slice(salt);
    nonce[4..].copy_from_slice(explicit);
    nonce
}

fn authenticated(content_type: u8, number: &[u8; 8], length: usize) -> Vec<u8> {
    [&number[..], &[content_type, 0xfe, 0xfd], &(length as u16).to_be_bytes()].concat()
}
