//! Which requests belong to one transfer of blocks (RFC 7959, sections 2.4 and 2.5; RFC 9175, section 3.3).

use crate::{fingerprint::mix, message::Message, option::OptionNumber};

/// Two requests with the same key are about the same body. It is made of the method and of the options that
/// are a part of the cache key (RFC 7252, section 5.4.2), without Block1 and Block2.
///
/// It is a hash and not secret: a peer that makes two keys alike mixes up two bodies of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CacheKey {
    /// Of all that names the target and the wanted representation.
    target: u64,
    /// Of Content-Format, Observe and Request-Tag, which a client may leave out where it asks for further
    /// blocks of an answer.
    body: u64,
}

impl CacheKey {
    /// The key of the request in this message.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let mut key = Self { target: mix(u64::from(message.code.0)), body: 0 };
        for (number, value) in message.options() {
            let hash = match number {
                OptionNumber::BLOCK1 | OptionNumber::BLOCK2 => continue,
                number if number.is_no_cache_key() => continue,
                OptionNumber::CONTENT_FORMAT | OptionNumber::OBSERVE | OptionNumber::REQUEST_TAG => {
                    &mut key.body
                }
                _ => &mut key.target,
            };
            *hash = mix(*hash ^ (u64::from(number.0) << 32 | value.len() as u64));
            for word in value.chunks(8) {
                let mut bytes = [0; 8];
                bytes[..word.len()].copy_from_slice(word);
                *hash = mix(*hash ^ u64::from_le_bytes(bytes));
            }
        }
        key
    }

    /// Whether both have the same target, whatever their bodies.
    pub(crate) const fn has_target_of(self, other: Self) -> bool {
        self.target == other.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Request, Token};

    fn of(request: Request) -> CacheKey {
        let bytes = request.into_message(1, Token::default());
        CacheKey::of(&Message::parse(&bytes).expect("we wrote it"))
    }

    #[test]
    fn method_target_and_request_tag_count_and_blocks_and_sizes_do_not() {
        let post = || Request::post("/a/b?c=d", 50, "{}");
        let key = of(post());
        let same = post()
            .option(OptionNumber::BLOCK1, [0x16])
            .option(OptionNumber::BLOCK2, [2])
            .option(OptionNumber::SIZE1, [9])
            .option(OptionNumber::SIZE2, [])
            .option(OptionNumber(252), "an Echo");
        assert_eq!(of(same), key);
        for other in [
            Request::post("/a/b?c=e", 50, "{}"),
            Request::post("/a%2Fb?c=d", 50, "{}"),
            Request::post("/ab?c=d", 50, "{}"),
            Request::new(Code::PUT, "/a/b?c=d"),
            post().accept(50),
            post().option(OptionNumber(2050), "unknown"),
        ] {
            assert!(!of(other).has_target_of(key));
        }
        for other in [
            Request::post("/a/b?c=d", 60, "{}"),
            post().option(OptionNumber::REQUEST_TAG, []),
            post().option(OptionNumber::REQUEST_TAG, "a"),
            post().option(OptionNumber::REQUEST_TAG, "a").option(OptionNumber::REQUEST_TAG, "b"),
        ] {
            let other = of(other);
            assert!(other != key && other.has_target_of(key));
        }
    }
}
