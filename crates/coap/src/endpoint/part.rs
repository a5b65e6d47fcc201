//! One block of a body that nobody holds as a whole (RFC 7959, section 2.4): the application reads it anew
//! for each request, so a transfer takes no memory here, however long the body is, and goes on at any block
//! after a restart, in another session, or after days.

use super::{RespondError, send::message_bytes_max};
use crate::{
    block::Block, context::Context, exchange::Wish, message::Token, option::OptionNumber, response::Response,
};

/// Bytes of Block2 with 2 + 3, Size2 with 2 + 4, and the marker of the payload, at most.
const BLOCK_OPTIONS_BYTES: usize = 5 + 6 + 1;

/// Makes an answer by [`Response::block`] fit its message. Where the peer names no size, the block has the
/// one that its radio prefers. A smaller one begins at the same place, so that the peer goes on with that
/// size (RFC 7959, section 2.3). Size2 is sent with the first block, and with others where the peer asks for
/// it.
///
/// # Errors
/// [`RespondError::TooLarge`]: not even the smallest block fits.
pub(super) fn cut_part(
    mut response: Response,
    token: Token,
    wish: &Wish,
    context: &Context<'_>,
) -> Result<Response, RespondError> {
    let given = response.options.find_uint(OptionNumber::BLOCK2).and_then(Block::from_value);
    let whole_bytes = response.options.find_uint(OptionNumber::SIZE2).unwrap_or_default();
    response.options.remove(OptionNumber::BLOCK2);
    response.options.remove(OptionNumber::SIZE2);
    let (bytes_max, head) = (message_bytes_max(context), response.head_bytes(token) + BLOCK_OPTIONS_BYTES);
    let wished = wish.blocks.block2.map(Block::bytes).or(context.params.block_bytes);
    let room = bytes_max.saturating_sub(head).min(wished.unwrap_or(Block::BYTES_MAX));
    let too_large = RespondError::TooLarge { bytes: head + response.payload.len(), bytes_max };
    let block = given.and_then(|given| given.shrunk(room)).ok_or(too_large)?;
    response.payload.truncate(block.bytes());
    let end = block.offset() + response.payload.len();
    let block = block.with_more(end < whole_bytes as usize);
    response.options.insert_uint(OptionNumber::BLOCK2, block.value());
    if block.number == 0 || wish.blocks.wants_size2 {
        response.options.insert_uint(OptionNumber::SIZE2, whole_bytes);
    }
    Ok(response)
}
