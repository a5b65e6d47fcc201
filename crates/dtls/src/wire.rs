//! Reading and writing the presentation language of TLS (RFC 5246, section 4): big-endian integers and
//! vectors with a length in front.

/// The bytes end too early, or too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A cursor over bytes that a stranger sent. Nothing it does can panic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(*self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(*self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(*self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(*self.array()?))
    }

    pub(crate) fn u24(&mut self) -> Result<usize, Malformed> {
        let [high, middle, low] = *self.array()?;
        Ok(u32::from_be_bytes([0, high, middle, low]) as usize)
    }

    /// A vector with a length of one byte in front.
    pub(crate) fn vector8(&mut self) -> Result<&'a [u8], Malformed> {
        let count = usize::from(self.u8()?);
        self.take(count)
    }

    /// A vector with a length of two bytes in front.
    pub(crate) fn vector16(&mut self) -> Result<&'a [u8], Malformed> {
        let count = usize::from(self.u16()?);
        self.take(count)
    }

    /// The bytes that were not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails unless everything was read.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Appends `bytes` with a length of one byte in front. Callers pass at most 255 bytes.
pub(crate) fn put_vector8(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= 0xff);
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// Appends `bytes` with a length of two bytes in front. Callers pass at most 65,535 bytes.
pub(crate) fn put_vector16(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= 0xffff);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_that_claims_too_much_is_malformed() {
        assert_eq!(Reader::new(&[3, 1, 2]).vector8(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff, 0xff, 1, 2]).vector16(), Err(Malformed));
    }

    #[test]
    fn vectors_round_trip() {
        let mut out = Vec::new();
        put_vector8(&mut out, b"abc");
        put_vector16(&mut out, b"");
        out.extend_from_slice(&[1, 2, 3]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.vector8(), Ok(&b"abc"[..]));
        assert_eq!(reader.vector16(), Ok(&b""[..]));
        assert_eq!(reader.u24(), Ok(0x01_02_03));
        assert_eq!(reader.finish(), Ok(()));
    }
}
