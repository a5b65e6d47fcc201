//! Scripts without an engine, for tests of what calls them.

use std::future::ready;

use crate::ports::{Caller, Circumstances, Fault, FaultKind, PortFuture, Script, Scripts};

/// Runs no JavaScript: the source is one word that says what every call does.
///
/// `copy` returns its argument: bytes that are the text of a message, and the other way round. The word of a
/// kind of fault (`throws`, `time`, `busy`, ...) fails so, at line 1. Any other source is a fault of syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlainScripts;

fn run(script: &Script) -> Result<(), Fault> {
    let word = script.source().trim();
    if word == "copy" {
        return Ok(());
    }
    let kind = FaultKind::ALL.into_iter().find(|kind| kind.word() == word);
    Err(Fault::at(kind.unwrap_or(FaultKind::Syntax), format!("the source is {word:?}"), Some(1)))
}

impl Scripts for PlainScripts {
    fn check(&self, script: &Script) -> PortFuture<'_, Result<(), Fault>> {
        let known = run(script).or_else(|fault| match fault.kind {
            FaultKind::Syntax | FaultKind::Missing => Err(fault),
            _ => Ok(()),
        });
        Box::pin(ready(known))
    }

    fn decode(
        &self,
        script: &Script,
        bytes: &[u8],
        _: Circumstances,
        _: Caller,
    ) -> PortFuture<'_, Result<String, Fault>> {
        let text = || {
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|_| Fault::at(FaultKind::Throws, "the bytes are not text", Some(1)))
        };
        Box::pin(ready(run(script).and_then(|()| text())))
    }

    fn encode(
        &self,
        script: &Script,
        json: &str,
        _: Circumstances,
        _: Caller,
    ) -> PortFuture<'_, Result<Vec<u8>, Fault>> {
        Box::pin(ready(run(script).map(|()| json.as_bytes().to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::UnixMillis, testing::block_on};

    #[test]
    fn a_word_says_what_a_call_does() {
        let at = Circumstances { arrival: UnixMillis(0), seed: 0 };
        let call = |word: &'static str| {
            block_on(PlainScripts.decode(&Script::new("p", word), b"{}", at, Caller::Trial))
        };
        assert_eq!(call("copy").as_deref(), Ok("{}"));
        for kind in FaultKind::ALL {
            assert_eq!(call(kind.word()).map_err(|fault| fault.kind), Err(kind));
        }
        assert!(block_on(PlainScripts.check(&Script::new("p", "time"))).is_ok());
        assert!(block_on(PlainScripts.check(&Script::new("p", "other"))).is_err());
    }
}
