//! Bodies that come and answers that go in blocks (RFC 7959; Request-Tag: RFC 9175, section 3).
//!
//! ```text
//!   Block1 0, more --> held --- next block: 2.31 ---> last block: the request, whole, goes on
//!                       |  4.08 at a gap, 4.13 at the limit, 5.03 without memory: dropped
//!
//!   long answer ---> held, its first block is sent --- Block2 1, 2, ... ---> last block: it alone is held
//! ```
//!
//! The blocks of an answer are read from what is held, also for a duplicate of the request, so they are not
//! stored for duplicates one by one. The last one stays for that alone, and makes room for whatever needs it.
//!
//! One list for both directions, longest idle first. A transfer is found by its [`CacheKey`], so transfers of
//! other targets or Request-Tags do not touch it. Block 0 always begins anew; an earlier block that comes
//! again with the same bytes gets the same 2.31. Nothing but a whole body reaches the application.
//!
//! Limits: [`crate::Params::body_bytes_max`], [`crate::Params::answer_bytes_max`];
//! [`crate::Params::transfers_max`], beyond which a last block ends, or else the one that is idle for
//! longest; EXCHANGE_LIFETIME without a block; the part of the [`Budget`] for bodies, without which nothing
//! new begins and no other transfer ends.

use std::time::Instant;

use crate::{
    block::{Block, BlockOptions},
    budget::Budget,
    cache_key::CacheKey,
    code::Code,
    context::Context,
    fingerprint::mix,
    message::Token,
    option::OptionNumber,
    refused::{BlockFault, RequestFault},
    request::Request,
    response::Response,
};

/// Bytes of the options that a block of an answer has beyond those of the answer: Block1 and Block2 with 2 +
/// 3, Size2 with 2 + 4, ETag with 1 + 8, and the marker of the payload.
const PART_OPTIONS_BYTES: usize = 5 + 5 + 6 + ENTITY_TAG_BYTES + 1;
/// An ETag as an option.
const ENTITY_TAG_BYTES: usize = 1 + 8;

/// The transfers of one endpoint, longest idle first.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    transfers: Vec<Transfer>,
}

/// A body that is not complete yet, or an answer that is not fetched to its end yet.
#[derive(Debug)]
struct Transfer {
    key: CacheKey,
    expires: Instant,
    /// What the budget was charged for it.
    cost: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The first block's request, with what has arrived of the body.
    Request(Request),
    /// The answer, with its ETag and all of its payload.
    Answer(Response),
    /// The last block of an answer that was fetched, and the block that was asked for.
    Last(Response, Block),
}

/// What becomes of a request that is a part of a transfer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes on to the application.
    Request(Request),
    /// It is answered by this.
    Answer(Response),
    /// It is answered by this block of what is held: again, if it comes again.
    Part(Response),
    /// It is refused, and what was held is dropped.
    Refused(RequestFault),
    /// No memory is left; what was held is dropped.
    Full,
}

/// What is sent of an answer at first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// One block; with the whole answer if others follow.
    Block(Response, Option<Response>),
    /// Nothing: it has fewer bytes than the block that is asked for begins with.
    PastTheEnd,
    /// Nothing: not even the smallest block fits into a message.
    TooLarge,
}

impl Content {
    fn bytes(&self) -> usize {
        match self {
            Self::Request(request) => {
                let target = request.path.as_str().len() + request.query.as_str().len();
                target + request.options.bytes() + request.payload.len()
            }
            Self::Answer(answer) | Self::Last(answer, _) => answer.options.bytes() + answer.payload.len(),
        }
    }

    const fn is_last(&self) -> bool {
        matches!(self, Self::Last(..))
    }

    /// Whether this block can be read from it.
    fn answers(&self, block: Block) -> bool {
        match self {
            Self::Request(_) => false,
            Self::Answer(_) => true,
            Self::Last(_, last) => last.with_more(false) == block.with_more(false),
        }
    }
}

impl Bodies {
    /// Handles a request that is a part of a transfer. `token` is the request's.
    pub(super) fn handle_request(
        &mut self,
        context: &mut Context<'_>,
        (key, token): (CacheKey, Token),
        request: Request,
        options: &BlockOptions,
    ) -> Outcome {
        self.expire(context);
        match (options.block1, options.block2) {
            // RFC 7959 2.7: the body was complete before the answer could be fetched.
            (_, Some(block2)) if block2.number > 0 => {
                self.fetch(context, (key, token), request, (block2, options.wants_size2))
            }
            (Some(block1), _) if !block1.is_only() => {
                self.collect(context, key, request, (block1, options.size1))
            }
            _ => Outcome::Request(request),
        }
    }

    /// Adds a block to its body.
    fn collect(
        &mut self,
        context: &mut Context<'_>,
        key: CacheKey,
        request: Request,
        (block, size1): (Block, Option<u32>),
    ) -> Outcome {
        let (begun, before) = self.take_request(context.budget, key);
        let whole = match join(begun, request, (block, size1), context.params.body_bytes_max) {
            Ok(whole) if block.more => whole,
            Ok(whole) => return Outcome::Request(whole),
            Err(fault) => return Outcome::Refused(fault),
        };
        if !self.hold(context, key, before, Content::Request(whole)) {
            return Outcome::Full;
        }
        let mut answer = Response::new(Code::CONTINUE);
        answer.options.insert_uint(OptionNumber::BLOCK1, block.value());
        Outcome::Answer(answer)
    }

    /// Reads a block of an answer.
    fn fetch(
        &mut self,
        context: &mut Context<'_>,
        (key, token): (CacheKey, Token),
        request: Request,
        (block, wants_size2): (Block, bool),
    ) -> Outcome {
        let offset = block.offset();
        let Some(index) = self.find_answer(key, block) else {
            // A GET may run again: its answer is cut at the same place, and its ETag tells whether it is the
            // same. Another method must not.
            let gone = RequestFault::AnswerGone { offset };
            return if request.method == Code::GET {
                Outcome::Request(request)
            } else {
                Outcome::Refused(gone)
            };
        };
        let Transfer { key, content, .. } = self.take(context.budget, index);
        let room = (token, context.params.message_bytes_max);
        let (outcome, content) = match content {
            Content::Answer(answer) => {
                let bytes = answer.payload.len();
                match cut(answer.clone(), block, wants_size2, room) {
                    Cut::Block(part, Some(_)) => (Outcome::Part(part), Content::Answer(answer)),
                    Cut::Block(part, None) => (Outcome::Part(part.clone()), Content::Last(part, block)),
                    Cut::PastTheEnd => {
                        let (number, fault) = (OptionNumber::BLOCK2, BlockFault::PastTheEnd { bytes });
                        let fault = RequestFault::Block { number, fault };
                        (Outcome::Refused(fault), Content::Answer(answer))
                    }
                    Cut::TooLarge => return Outcome::Refused(RequestFault::AnswerGone { offset }),
                }
            }
            Content::Last(part, last) => (Outcome::Part(part.clone()), Content::Last(part, last)),
            Content::Request(_) => return Outcome::Refused(RequestFault::AnswerGone { offset }),
        };
        // It takes no more than before: the options of a block are shorter than what a last one leaves out.
        self.push(context, key, content);
        outcome
    }

    /// Whether the block of an answer that is asked for is held.
    pub(super) fn has_block(&self, key: CacheKey, options: &BlockOptions) -> bool {
        options.block2.is_some_and(|block| block.number > 0 && self.find_answer(key, block).is_some())
    }

    /// Keeps an answer of which one block is sent, for the peer to fetch the others. Without memory it is not
    /// kept: a GET asks for it again, and another request was carried out all the same.
    pub(super) fn keep(&mut self, context: &mut Context<'_>, key: CacheKey, answer: Response) {
        self.expire(context);
        let is_older = |it: &Transfer| it.key == key && !matches!(it.content, Content::Request(_));
        while let Some(index) = self.transfers.iter().position(is_older) {
            self.take(context.budget, index);
        }
        if answer.payload.len() <= context.params.answer_bytes_max {
            self.hold(context, key, 0, Content::Answer(answer));
        }
    }

    /// Whether [`Self::keep`] has the memory for an answer.
    pub(super) fn may_keep(&self, context: &mut Context<'_>, answer: &Response) -> bool {
        let bytes = answer.options.bytes() + ENTITY_TAG_BYTES + answer.payload.len();
        answer.payload.len() <= context.params.answer_bytes_max
            && self.room_for(context, 0, size_of::<Transfer>() + bytes).is_some()
    }

    /// Holds a body or an answer from now on; returns whether there is memory for it. `before` is what it
    /// took until now. Without memory no other transfer ends.
    fn hold(&mut self, context: &mut Context<'_>, key: CacheKey, before: usize, content: Content) -> bool {
        let cost = size_of::<Transfer>() + content.bytes();
        let Some(ending) = self.room_for(context, before, cost) else { return false };
        for index in ending.into_iter().rev() {
            self.take(context.budget, index);
        }
        self.push(context, key, content);
        true
    }

    /// The transfers that have to end so that one more has memory; `None` where it has none even so.
    fn room_for(&self, context: &mut Context<'_>, before: usize, cost: usize) -> Option<Vec<usize>> {
        let count = self.transfers.len();
        let surplus = (count + 1).saturating_sub(context.params.transfers_max).min(count);
        let last_blocks = self.transfers.iter().filter(|it| it.content.is_last()).count();
        for ending in [surplus, surplus.max(last_blocks)] {
            let ending = self.first_to_end(ending);
            let freed = ending.iter().map(|index| self.transfers[*index].cost).sum::<usize>();
            let held = before + self.transfers.iter().map(|transfer| transfer.cost).sum::<usize>() - freed;
            context.budget.refund_body(freed);
            let has_room = context.budget.has_body_room(held, cost);
            context.budget.charge_body(freed);
            if has_room {
                return Some(ending);
            }
        }
        None
    }

    /// The transfers that end first, in the order of the list: last blocks, then those idle for longest.
    fn first_to_end(&self, count: usize) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.transfers.len()).collect();
        indices.sort_by_key(|index| !self.transfers[*index].content.is_last());
        indices.truncate(count);
        indices.sort_unstable();
        indices
    }

    /// Adds a transfer that has moved now.
    fn push(&mut self, context: &mut Context<'_>, key: CacheKey, content: Content) {
        let cost = size_of::<Transfer>() + content.bytes();
        context.budget.charge_body(cost);
        let expires = context.now + context.params.exchange_lifetime;
        self.transfers.push(Transfer { key, expires, cost, content });
    }

    /// Removes the body with this key; says also what it took.
    fn take_request(&mut self, budget: &mut Budget, key: CacheKey) -> (Option<Request>, usize) {
        let is_it = |it: &Transfer| it.key == key && matches!(it.content, Content::Request(_));
        let Some(index) = self.transfers.iter().position(is_it) else { return (None, 0) };
        match self.take(budget, index) {
            Transfer { content: Content::Request(request), cost, .. } => (Some(request), cost),
            Transfer { cost, .. } => (None, cost),
        }
    }

    /// Where the answer with this key is, or else the newest that it may continue: a client may leave
    /// Request-Tag and Content-Format out when it fetches.
    fn find_answer(&self, key: CacheKey, block: Block) -> Option<usize> {
        let newest = |is_it: &dyn Fn(CacheKey) -> bool| {
            self.transfers.iter().rposition(|it| it.content.answers(block) && is_it(it.key))
        };
        newest(&|other| other == key).or_else(|| newest(&|other| key.may_continue(other)))
    }

    fn take(&mut self, budget: &mut Budget, index: usize) -> Transfer {
        let transfer = self.transfers.remove(index);
        budget.refund_body(transfer.cost);
        transfer
    }

    /// Drops the transfers that have stood still for too long.
    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        while self.transfers.first().is_some_and(|oldest| oldest.expires <= context.now) {
            self.take(context.budget, 0);
        }
    }

    /// When to call [`Self::expire`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.transfers.first().map(|oldest| oldest.expires)
    }

    /// Whether nothing is held.
    pub(super) const fn is_empty(&self) -> bool {
        self.transfers.is_empty()
    }

    /// Returns all its bytes to the budget.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        budget.refund_body(self.transfers.drain(..).map(|transfer| transfer.cost).sum());
    }
}

/// The body with one block more, or why it does not fit.
fn join(
    begun: Option<Request>,
    request: Request,
    (block, size1): (Block, Option<u32>),
    bytes_max: usize,
) -> Result<Request, RequestFault> {
    let offset = block.offset();
    let bytes = (offset + request.payload.len()).max(size1.map_or(0, |bytes| bytes as usize));
    if bytes > bytes_max {
        return Err(RequestFault::BodyTooLarge { bytes, bytes_max });
    }
    if block.number == 0 {
        return Ok(request);
    }
    let mut whole = begun.ok_or(RequestFault::BlockMissing { offset, held: None })?;
    if !append(&mut whole.payload, &request.payload, block) {
        return Err(RequestFault::BlockMissing { offset, held: Some(whole.payload.len()) });
    }
    whole.confirmable = request.confirmable;
    Ok(whole)
}

/// Adds a block to what has arrived of its body; returns whether it belongs there. A block that is there
/// already, with the same bytes, belongs there, unless it says that the body ended before what arrived later.
fn append(body: &mut Vec<u8>, payload: &[u8], block: Block) -> bool {
    let (offset, held) = (block.offset(), body.len());
    if offset == held {
        body.reserve_exact(payload.len());
        body.extend_from_slice(payload);
        return true;
    }
    let is_known = body.get(offset..offset + payload.len()) == Some(payload);
    is_known && (block.more || offset + payload.len() == held)
}

/// Cuts one block out of an answer: the one that is wanted, or a smaller one that begins at the same place,
/// where that does not fit into a message of `message_bytes_max`.
pub(super) fn cut(
    mut answer: Response,
    wanted: Block,
    wants_size2: bool,
    (token, message_bytes_max): (Token, usize),
) -> Cut {
    let (offset, whole_bytes) = (wanted.offset(), answer.payload.len());
    if offset >= whole_bytes {
        return Cut::PastTheEnd;
    }
    let room = message_bytes_max.saturating_sub(answer.head_bytes(token) + PART_OPTIONS_BYTES);
    let Some(block) = wanted.shrunk(room) else { return Cut::TooLarge };
    if answer.options.find(OptionNumber::ETAG).is_none() {
        answer.options.insert(OptionNumber::ETAG, &entity_tag(&answer.payload));
    }
    let end = whole_bytes.min(offset + block.bytes());
    let block = block.with_more(end < whole_bytes);
    let payload = answer.payload.mark(answer.payload[offset..end].to_vec());
    let mut part = Response { code: answer.code, options: answer.options.clone(), payload };
    part.options.insert_uint(OptionNumber::BLOCK2, block.value());
    if wants_size2 {
        part.options.insert_uint(OptionNumber::SIZE2, u32::try_from(whole_bytes).unwrap_or(u32::MAX));
    }
    Cut::Block(part, block.more.then_some(answer))
}

/// An ETag of the payload (RFC 7959, section 2.4): a client that gets another one begins again. Not strong: a
/// collision would need two answers to one request within a transfer.
fn entity_tag(payload: &[u8]) -> [u8; 8] {
    let mut hash = mix(payload.len() as u64);
    for word in payload.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        hash = mix(hash ^ u64::from_le_bytes(bytes));
    }
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests;
