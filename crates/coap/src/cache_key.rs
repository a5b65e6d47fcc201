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
    /// Of Content-Format and Observe, which a client may leave out where it asks for further blocks of an
    /// answer.
    body: u64,
    /// Of Request-Tag; 0: there is none.
    tag: u64,
}

impl CacheKey {
    /// The key of the request in this message.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let mut key = Self { target: mix(u64::from(message.code.0)), body: 0, tag: 0 };
        for (number, value) in message.options() {
            let hash = match number {
                OptionNumber::BLOCK1 | OptionNumber::BLOCK2 => continue,
                number if number.is_no_cache_key() => continue,
                OptionNumber::CONTENT_FORMAT | OptionNumber::OBSERVE => &mut key.body,
                OptionNumber::REQUEST_TAG => &mut key.tag,
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

    /// Whether a request with this key may ask for a further block of the answer to one with the other: the
    /// target is the same, and so is the Request-Tag, unless it is left out.
    pub(crate) const fn may_continue(self, other: Self) -> bool {
        self.target == other.target && (self.tag == other.tag || self.tag == 0)
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
            assert!(!of(other).may_continue(key));
        }
        let cbor = of(Request::post("/a/b?c=d", 60, "{}"));
        assert!(cbor != key && cbor.may_continue(key));
        let tagged = [
            post().option(OptionNumber::REQUEST_TAG, []),
            post().option(OptionNumber::REQUEST_TAG, "a"),
            post().option(OptionNumber::REQUEST_TAG, "a").option(OptionNumber::REQUEST_TAG, "b"),
        ];
        for (index, tagged_key) in tagged.iter().cloned().map(of).enumerate() {
            assert!(key.may_continue(tagged_key), "the tag may be left out");
            assert!(tagged_key != key && !tagged_key.may_continue(key));
            let other = of(tagged[(index + 1) % tagged.len()].clone());
            assert!(tagged_key.may_continue(tagged_key) && !tagged_key.may_continue(other));
        }
    }
}
