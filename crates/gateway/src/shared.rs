//! What all desks share.

use crate::{
    issuing::Issuing, outbox::Outbox, products::Products, refusals::Refusals, requests::Requests,
    residence::Residence,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) out: Outbox,
    pub(crate) residence: Residence,
    pub(crate) products: Products,
    pub(crate) refusals: Refusals,
    pub(crate) requests: Requests,
    pub(crate) issuing: Issuing,
}
