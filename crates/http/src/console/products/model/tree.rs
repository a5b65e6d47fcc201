//! A document of JSON in which each value knows where it stands, and is what was written: to say at which
//! line a fault is, to lay it out, and to put an element in or take one out.

/// How deep a document may be.
const DEPTH_MAX: usize = 64;

/// Lists and objects of a depth below this one have a line for each of their values.
const BROKEN_DEPTH: usize = 2;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The byte at which it begins.
    pub(super) at: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Keys as they are written, and where they stand.
    Object(Vec<(usize, String, Node)>),
    Array(Vec<Node>),
    /// As it is written.
    Scalar(String),
}

impl Node {
    /// Reads a text that is JSON; `None`: it is none, or too deep.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        Reader { text, at: 0 }.value(0)
    }

    /// Where the value of a JSON pointer stands (RFC 6901), or what is nearest to it: a key that is wrong is
    /// there itself, and of one that is missing the object that lacks it.
    pub(super) fn place(&self, pointer: &str) -> usize {
        let (mut node, mut at) = (self, self.at);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::Object(pairs) => pairs.iter().find(|(_, key, _)| name(key) == step).map(|pair| {
                    at = pair.0;
                    &pair.2
                }),
                Kind::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                Kind::Scalar(_) => None,
            };
            let Some(next) = next else { return at };
            node = next;
            if let Kind::Array(_) | Kind::Object(_) = node.kind {
                at = node.at;
            }
        }
        at
    }

    /// Puts an element behind those of a list of the document, which is made where it is not there. `false`:
    /// the document is no object, or has something else there.
    pub(super) fn push(&mut self, list: &str, element: Self) -> bool {
        let Kind::Object(pairs) = &mut self.kind else { return false };
        if !pairs.iter().any(|(_, key, _)| name(key) == list) {
            let key = serde_json::to_string(list).unwrap_or_default();
            pairs.push((0, key, Self { at: 0, kind: Kind::Array(Vec::new()) }));
        }
        let found = pairs.iter_mut().find(|(_, key, _)| name(key) == list);
        let Some((.., Self { kind: Kind::Array(items), .. })) = found else { return false };
        items.push(element);
        true
    }

    /// Takes an element out of a list. `false`: it is not there.
    pub(super) fn take(&mut self, list: &str, index: usize) -> bool {
        let Kind::Object(pairs) = &mut self.kind else { return false };
        let found = pairs.iter_mut().find(|(_, key, _)| name(key) == list);
        let Some((.., Self { kind: Kind::Array(items), .. })) = found else { return false };
        let is_there = index < items.len();
        if is_there {
            items.remove(index);
        }
        is_there
    }

    /// As text, with an element on each line.
    pub(super) fn laid_out(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    /// As text on one line, which may be broken at its blanks.
    pub(super) fn on_a_line(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, BROKEN_DEPTH + 1);
        text
    }

    fn write(&self, text: &mut String, depth: usize) {
        let line = |text: &mut String, depth: usize| match depth <= BROKEN_DEPTH {
            true => {
                text.push('\n');
                text.push_str(&"  ".repeat(depth));
            }
            false => text.push(' '),
        };
        let is_broken = depth < BROKEN_DEPTH;
        match &self.kind {
            Kind::Scalar(scalar) => text.push_str(scalar),
            Kind::Array(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    if index > 0 || is_broken {
                        line(text, depth + 1);
                    }
                    item.write(text, depth + 1);
                }
                if is_broken && !items.is_empty() {
                    line(text, depth);
                }
                text.push(']');
            }
            Kind::Object(pairs) => {
                text.push('{');
                for (index, (_, key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    if index > 0 || is_broken {
                        line(text, depth + 1);
                    }
                    text.push_str(key);
                    text.push_str(": ");
                    value.write(text, depth + 1);
                }
                if is_broken && !pairs.is_empty() {
                    line(text, depth);
                }
                text.push('}');
            }
        }
    }
}

/// A key without its quotation marks and escapes.
fn name(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_default()
}

/// Reads a text that was found to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.skip_space();
        let at = self.at;
        let kind = match self.byte()? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            _ => Kind::Scalar(self.scalar()?),
        };
        Some(Node { at, kind })
    }

    /// Whether there is another one; the end is passed over.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        self.skip_space();
        let byte = self.byte()?;
        let has_ended = byte == end;
        if has_ended || byte == b',' {
            self.at += 1;
            self.skip_space();
        }
        Some(!has_ended)
    }

    fn object(&mut self, depth: usize) -> Option<Kind> {
        self.at += 1;
        let mut pairs = Vec::new();
        while self.goes_on(b'}')? {
            let at = self.at;
            let key = self.scalar()?;
            self.skip_space();
            // The colon.
            self.at += 1;
            pairs.push((at, key, self.value(depth + 1)?));
        }
        Some(Kind::Object(pairs))
    }

    fn array(&mut self, depth: usize) -> Option<Kind> {
        self.at += 1;
        let mut items = Vec::new();
        while self.goes_on(b']')? {
            items.push(self.value(depth + 1)?);
        }
        Some(Kind::Array(items))
    }

    fn scalar(&mut self) -> Option<String> {
        let (begin, is_text) = (self.at, self.byte()? == b'"');
        if is_text {
            self.at += 1;
            while self.byte()? != b'"' {
                self.at += if self.byte()? == b'\\' { 2 } else { 1 };
            }
            self.at += 1;
        } else {
            let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
            while self.byte().is_some_and(|byte| !ends(byte)) {
                self.at += 1;
            }
        }
        self.text.get(begin..self.at).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = concat!(
        "{\"modelId\": \"m\",\n \"measurepoints\": [\n  {\"identifier\": \"a/b~\\\"\", \"x\": 1.50},\n",
        "  {\"identifier\":\"c\",\"values\":[1,2]}], \"e\": [], \"o\": {}}"
    );

    #[test]
    fn a_pointer_leads_to_its_line() {
        let node = Node::parse(TEXT).expect("it is JSON");
        let line = |pointer: &str| TEXT[..node.place(pointer)].matches('\n').count() + 1;
        for (pointer, expected) in [
            ("", 1),
            ("/modelId", 1),
            ("/measurepoints", 2),
            ("/measurepoints/0/x", 3),
            ("/measurepoints/1/values/1", 4),
            ("/measurepoints/1/dataType", 4),
            ("/measurepoints/7", 2),
            ("/none/at/all", 1),
        ] {
            assert_eq!(line(pointer), expected, "{pointer}");
        }
        assert!(TEXT[node.place("/measurepoints/0/x")..].starts_with("\"x\": 1.50"));
    }

    #[test]
    fn it_is_laid_out_as_it_was_written() {
        let mut node = Node::parse(TEXT).expect("it is JSON");
        let laid_out = concat!(
            "{\n  \"modelId\": \"m\",\n  \"measurepoints\": [\n",
            "    {\"identifier\": \"a/b~\\\"\", \"x\": 1.50},\n",
            "    {\"identifier\": \"c\", \"values\": [1, 2]}\n  ],\n  \"e\": [],\n  \"o\": {}\n}"
        );
        assert_eq!(node.laid_out(), laid_out);
        assert_eq!(Node::parse(laid_out).expect("it is JSON").laid_out(), laid_out);
        assert!(!node.on_a_line().contains('\n') && node.on_a_line().contains("[1, 2]"), "{node:?}");
        let element = || Node::parse("{\"identifier\":\"n\"}").expect("it is JSON");
        assert!(node.take("measurepoints", 0) && !node.take("measurepoints", 9) && !node.take("none", 0));
        assert!(node.push("events", element()) && node.push("e", element()) && !node.push("o", element()));
        let text = node.laid_out();
        assert!(!text.contains("1.50") && text.matches("{\"identifier\": \"n\"}").count() == 2, "{text}");
        assert!(!Node::parse("[1]").expect("it is JSON").push("events", element()));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_none() {
        for text in ["", "{", "{\"a\"}", "[1,]", "nul", "{} {}"] {
            assert_eq!(Node::parse(text), None, "{text}");
        }
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Node::parse(&deep(20)).is_some() && Node::parse(&deep(100)).is_none());
        assert!(Node::parse(&deep(100_000)).is_none());
    }
}
