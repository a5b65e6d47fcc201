//! Bodies that are longer than a message, sent in blocks (RFC 7959, section 2.5), one block after the other.

use narrowgate_coap::{Block, Code, OptionNumber, Request, RequestId, Response};

/// A body on its way.
#[derive(Debug)]
pub(super) struct Upload {
    /// The request with the whole body.
    request: Request,
    /// The block that is asked about, and under which number the endpoint knows it.
    sent: (u32, RequestId),
}

/// The request for a block, if the whole request does not fit a message.
fn block_of(request: &Request, number: u32) -> Option<Request> {
    let body = &request.payload;
    if body.len() <= Block::BYTES_MAX {
        return None;
    }
    let begin = (number as usize * Block::BYTES_MAX).min(body.len());
    let end = (begin + Block::BYTES_MAX).min(body.len());
    let block = Block::new(number, end < body.len(), Block::BYTES_MAX)?;
    let mut part = Request { payload: body[begin..end].to_vec(), ..request.clone() };
    part.options.insert_uint(OptionNumber::BLOCK1, block.value());
    Some(part)
}

/// The first message of a request: all of it, or its first block.
pub(super) fn first(request: &Request) -> Option<Request> {
    block_of(request, 0)
}

impl Upload {
    /// Its first block is sent.
    pub(super) fn new(request: Request, id: RequestId) -> Self {
        Self { request, sent: (0, id) }
    }

    /// Whether it waits for the answer to this request.
    pub(super) fn waits_for(&self, id: RequestId) -> bool {
        self.sent.1 == id
    }

    /// The next block, where the server asks for it; else the answer is the one to the whole body.
    pub(super) fn next(&mut self, response: &Response) -> Option<Request> {
        if response.code != Code::CONTINUE {
            return None;
        }
        self.sent.0 += 1;
        block_of(&self.request, self.sent.0)
    }

    /// The next block is sent.
    pub(super) fn went_on(&mut self, id: RequestId) {
        self.sent.1 = id;
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::format;

    use super::*;

    #[test]
    fn a_body_goes_in_blocks_that_make_it_up_again() {
        let body: Vec<u8> = (0..2500_u32).map(|n| n as u8).collect();
        let request = Request::post("/a", format::JSON, body.clone());
        let blocks: Vec<Request> = (0..3).map(|number| block_of(&request, number).unwrap()).collect();
        let whole: Vec<u8> = blocks.iter().flat_map(|block| block.payload.clone()).collect();
        assert_eq!(whole, body);
        let values: Vec<u32> =
            blocks.iter().filter_map(|block| block.options.find_uint(OptionNumber::BLOCK1)).collect();
        assert_eq!(values, [0x0e, 0x1e, 0x26]);
        let short = Request::post("/a", format::JSON, vec![0; Block::BYTES_MAX]);
        assert!(first(&short).is_none(), "it fits a message");
    }
}
