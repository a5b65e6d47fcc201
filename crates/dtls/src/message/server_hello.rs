//! ServerHello (RFC 5246, section 7.4.1.3): version | random 32 | session_id <0..32> | cipher_suite |
//! compression | extensions. The session_id is empty: there is no resumption. An extension is answered only
//! if it was offered.

use crate::{
    codes::{COMPRESSION_NULL, CipherSuite, ExtensionType, HandshakeType, Version},
    message::{
        client_hello::{MaxFragmentLength, OfferedExtensions},
        emit, put_extension,
    },
    offered::OfferedVersions,
    refusal::Refusal,
    wire::{Reader, put_vector8, put_vector16},
};

/// What the server chose.
#[derive(Debug, Clone)]
pub(crate) struct ServerHello {
    pub(crate) random: [u8; 32],
    pub(crate) suite: CipherSuite,
    pub(crate) extensions: OfferedExtensions,
}

impl ServerHello {
    /// The whole message.
    pub(crate) fn emit(&self, message_seq: u16) -> Vec<u8> {
        emit(HandshakeType::SERVER_HELLO, message_seq, |out| {
            out.extend_from_slice(&Version::DTLS_1_2.0.to_be_bytes());
            out.extend_from_slice(&self.random);
            put_vector8(out, &[]);
            out.extend_from_slice(&self.suite.id().to_be_bytes());
            out.push(COMPRESSION_NULL);
            let mut block = Vec::with_capacity(32);
            if self.extensions.renegotiation_info {
                put_extension(&mut block, ExtensionType::RENEGOTIATION_INFO, &[0]);
            }
            if self.extensions.extended_master_secret {
                put_extension(&mut block, ExtensionType::EXTENDED_MASTER_SECRET, &[]);
            }
            if self.extensions.encrypt_then_mac {
                put_extension(&mut block, ExtensionType::ENCRYPT_THEN_MAC, &[]);
            }
            if let Some(length) = self.extensions.max_fragment_length {
                put_extension(&mut block, ExtensionType::MAX_FRAGMENT_LENGTH, &[length.code()]);
            }
            if !block.is_empty() {
                put_vector16(out, &block);
            }
        })
    }

    /// Reads a body, as a client that offered `suites` and `offered`.
    pub(crate) fn parse(
        body: &[u8],
        suites: &[CipherSuite],
        offered: &OfferedExtensions,
    ) -> Result<Self, Refusal> {
        let mut reader = Reader::new(body);
        let version = Version(reader.u16()?);
        if version != Version::DTLS_1_2 {
            return Err(Refusal::VersionUnsupported(OfferedVersions::one(version)));
        }
        let random = *reader.array()?;
        if reader.vector8()?.len() > 32 {
            return Err(Refusal::DecodeError);
        }
        let id = reader.u16()?;
        let suite = suites.iter().copied().find(|suite| suite.id() == id).ok_or(Refusal::IllegalParameter)?;
        if reader.u8()? != COMPRESSION_NULL {
            return Err(Refusal::IllegalParameter);
        }
        let mut extensions = OfferedExtensions::default();
        if !reader.is_empty() {
            let mut block = Reader::new(reader.vector16()?);
            reader.finish()?;
            while !block.is_empty() {
                let extension = ExtensionType(block.u16()?);
                accept(&mut extensions, extension, block.vector16()?, offered)?;
            }
        }
        Ok(Self { random, suite, extensions })
    }
}

/// Records an extension of the server, which must be one that we offered.
fn accept(
    extensions: &mut OfferedExtensions,
    extension: ExtensionType,
    data: &[u8],
    offered: &OfferedExtensions,
) -> Result<(), Refusal> {
    match extension {
        ExtensionType::EXTENDED_MASTER_SECRET if offered.extended_master_secret && data.is_empty() => {
            extensions.extended_master_secret = true;
        }
        ExtensionType::ENCRYPT_THEN_MAC if offered.encrypt_then_mac && data.is_empty() => {
            extensions.encrypt_then_mac = true;
        }
        // The signalling suite value always offers it.
        ExtensionType::RENEGOTIATION_INFO if data == [0] => extensions.renegotiation_info = true,
        ExtensionType::MAX_FRAGMENT_LENGTH
            if offered.max_fragment_length.map(MaxFragmentLength::code).as_slice() == data
                && !data.is_empty() =>
        {
            extensions.max_fragment_length = offered.max_fragment_length;
        }
        _ => return Err(Refusal::IllegalParameter),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MESSAGE_HEADER_BYTES;
    use proptest::prelude::*;

    fn all() -> OfferedExtensions {
        OfferedExtensions {
            extended_master_secret: true,
            encrypt_then_mac: true,
            renegotiation_info: true,
            max_fragment_length: MaxFragmentLength::new(1),
        }
    }

    #[test]
    fn what_the_server_says_is_read_back() {
        let hello = ServerHello { random: [3; 32], suite: CipherSuite::PskAes128Ccm8, extensions: all() };
        let message = hello.emit(1);
        let body = &message[MESSAGE_HEADER_BYTES..];
        let read = ServerHello::parse(body, &CipherSuite::ALL, &all()).expect("our own");
        assert_eq!((read.random, read.suite, read.extensions), (hello.random, hello.suite, hello.extensions));
    }

    #[test]
    fn what_was_not_offered_is_refused() {
        let hello = ServerHello { random: [3; 32], suite: CipherSuite::PskAes128Ccm8, extensions: all() };
        let message = hello.emit(1);
        let body = &message[MESSAGE_HEADER_BYTES..];
        let nothing = OfferedExtensions::default();
        assert_eq!(
            ServerHello::parse(body, &CipherSuite::ALL, &nothing).err(),
            Some(Refusal::IllegalParameter)
        );
        let other = [CipherSuite::PskAes128CbcSha256];
        assert_eq!(ServerHello::parse(body, &other, &all()).err(), Some(Refusal::IllegalParameter));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ServerHello::parse(&bytes, &CipherSuite::ALL, &all());
        }
    }
}
