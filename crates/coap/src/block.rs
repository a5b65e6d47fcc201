//! The options of block-wise transfer (RFC 7959): Block1 for the body of a request, Block2 for that of an
//! answer, and what a request says by them.

use std::fmt;

use crate::{
    code::Code,
    option::OptionNumber,
    refused::{BlockFault, RequestFault},
    request::Request,
};

/// The value of Block1 or Block2 (RFC 7959, section 2.2): `number u20 | more u1 | size exponent u3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// Which block of the body, counted in blocks of this size; at most [`Block::NUMBER_MAX`].
    pub number: u32,
    /// Whether more blocks follow. In a request for a block of an answer it means nothing.
    pub more: bool,
    /// A block has `2^(exponent + 4)` bytes; 0 to 6.
    exponent: u8,
}

impl Block {
    /// The highest number of a block.
    pub const NUMBER_MAX: u32 = (1 << 20) - 1;
    /// The largest block, bytes.
    pub const BYTES_MAX: usize = 1024;
    /// The first block of the largest size: what a peer gets that names none.
    pub const LARGEST: Self = Self { number: 0, more: false, exponent: 6 };
    /// The smallest block, bytes.
    pub const BYTES_MIN: usize = 16;

    /// A block of the largest size of at most `bytes` bytes; `None` below 16 bytes. A number that is too high
    /// is cut off.
    #[must_use]
    pub const fn new(number: u32, more: bool, bytes: usize) -> Option<Self> {
        if bytes < Self::BYTES_MIN {
            return None;
        }
        let bytes = if bytes > Self::BYTES_MAX { Self::BYTES_MAX } else { bytes };
        Some(Self { number: number & Self::NUMBER_MAX, more, exponent: bytes.ilog2() as u8 - 4 })
    }

    /// Reads the value of the option; `None` for the size exponent 7, which is for reliable transports only
    /// (RFC 8323, section 6), and for more than 24 bits.
    #[must_use]
    pub const fn from_value(value: u32) -> Option<Self> {
        let exponent = (value & 0b111) as u8;
        if exponent == 7 || value >> 24 != 0 {
            return None;
        }
        Some(Self { number: value >> 4, more: value & 0b1000 != 0, exponent })
    }

    /// The value of the option.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.number << 4 | (self.more as u32) << 3 | self.exponent as u32
    }

    /// The size of the block, bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        Self::BYTES_MIN << self.exponent
    }

    /// Where the block begins in the body, bytes; below 2^30.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.number as usize * self.bytes()
    }

    /// Whether it is all of a body.
    #[must_use]
    pub const fn is_only(self) -> bool {
        self.number == 0 && !self.more
    }

    /// The same block, followed by others or not.
    #[must_use]
    pub const fn with_more(self, more: bool) -> Self {
        Self { number: self.number, more, exponent: self.exponent }
    }

    /// The block of at most `bytes` bytes that begins at the same place; `None` below 16 bytes, and where its
    /// number would be too high.
    pub(crate) fn shrunk(self, bytes: usize) -> Option<Self> {
        let smaller = Self::new(0, self.more, bytes.min(self.bytes()))?;
        let number = u32::try_from(self.offset() / smaller.bytes()).ok()?;
        (number <= Self::NUMBER_MAX).then_some(Self { number, ..smaller })
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.number, u8::from(self.more), self.bytes())
    }
}

/// What a request says of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BlockOptions {
    /// Which block of its body the request carries.
    pub(crate) block1: Option<Block>,
    /// Which block of the answer the peer wants, and of which size at most.
    pub(crate) block2: Option<Block>,
    /// How long the body will be, as the peer says.
    pub(crate) size1: Option<u32>,
    /// Whether the peer asks for the length of the answer.
    pub(crate) wants_size2: bool,
}

impl BlockOptions {
    /// Takes the block options out of a request: the application sees whole bodies, and is told which block
    /// of the answer is wanted.
    pub(crate) fn take_from(request: &mut Request) -> Result<Self, RequestFault> {
        if request.options.is_empty() {
            return Ok(Self::default());
        }
        let mut take = |number| -> Result<Option<Block>, RequestFault> {
            let Some(value) = request.options.find_uint(number) else { return Ok(None) };
            request.options.remove(number);
            let fault = RequestFault::Block { number, fault: BlockFault::SizeReserved };
            Block::from_value(value).map(Some).ok_or(fault)
        };
        let (block1, block2) = (take(OptionNumber::BLOCK1)?, take(OptionNumber::BLOCK2)?);
        let size1 = request.options.find_uint(OptionNumber::SIZE1);
        let wants_size2 = request.options.find(OptionNumber::SIZE2).is_some();
        request.block2 = block2;
        let options = Self { block1, block2, size1, wants_size2 };
        options.check(request)?;
        Ok(options)
    }

    /// RFC 7959 2.2: a block that others follow has exactly its size, and the last one at most that. A block
    /// that is all of its body is a plain request, whose payload is not counted.
    fn check(&self, request: &Request) -> Result<(), RequestFault> {
        let Some(block) = self.block1.filter(|block| !block.is_only()) else { return Ok(()) };
        let fault = |fault| Err(RequestFault::Block { number: OptionNumber::BLOCK1, fault });
        let bytes = request.payload.len();
        if matches!(request.method, Code::GET | Code::DELETE) {
            return fault(BlockFault::NoBody);
        }
        if bytes > block.bytes() || block.more && bytes < block.bytes() {
            return fault(BlockFault::Payload { bytes, expected: block.bytes() });
        }
        Ok(())
    }

    /// Whether the request is a part of a transfer, and not a plain one with a hint.
    pub(crate) fn is_part(&self) -> bool {
        self.block1.is_some_and(|block| !block.is_only()) || self.block2.is_some_and(|block| block.number > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_number_more_and_size() {
        let block = Block::from_value(0x5e).expect("1024 bytes");
        assert_eq!((block.number, block.more, block.bytes(), block.offset()), (5, true, 1024, 5120));
        assert_eq!(block.to_string(), "5/1/1024");
        assert_eq!(Block::new(5, true, 2000), Some(block));
        assert_eq!(Block::new(0, false, 15), None);
        assert_eq!(Block::new(0, false, 31).map(Block::bytes), Some(16));
        let last = Block::from_value(0x00ff_fff6).expect("the highest number");
        assert_eq!((last.number, last.offset()), (Block::NUMBER_MAX, 1_073_740_800));
    }

    #[test]
    fn attack_137_the_size_exponent_7_is_no_block() {
        assert_eq!(Block::from_value(0x07), None);
        assert_eq!(Block::from_value(0x0100_0000), None);
    }

    #[test]
    fn a_smaller_block_begins_at_the_same_place() {
        let block = Block::new(3, true, 256).expect("a size");
        let smaller = block.shrunk(100).expect("a size");
        assert_eq!((smaller.number, smaller.bytes(), smaller.offset()), (12, 64, block.offset()));
        assert_eq!(block.shrunk(1024), Some(block), "never a larger one");
        let last = Block::new(Block::NUMBER_MAX, false, 1024).expect("a size");
        assert_eq!((last.shrunk(512), last.shrunk(8)), (None, None));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(value in 0_u32..1 << 24) {
            let block = Block::from_value(value);
            prop_assert_eq!(block.map(Block::value), (value & 7 != 7).then_some(value));
        }
    }
}
