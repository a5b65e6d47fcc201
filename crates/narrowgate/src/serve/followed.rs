//! What happens to devices, for followers over HTTP.

use std::{future::Future, pin::Pin};

use narrowgate_http::{Events, Next, Subscription};
use narrowgate_platform::service::Operator;

use crate::feed::{self, Feed};

/// The feed, and the service that knows the keys of its devices.
pub(crate) struct Followed {
    pub(crate) feed: Feed,
    pub(crate) operator: Operator,
}

impl Events for Followed {
    fn subscribe(&self) -> Box<dyn Subscription> {
        Box::new(Follower { subscription: self.feed.subscribe(), operator: self.operator.clone() })
    }
}

struct Follower {
    subscription: feed::Subscription,
    operator: Operator,
}

impl Subscription for Follower {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Next> + Send + '_>> {
        Box::pin(async {
            match self.subscription.next_named(&self.operator).await {
                feed::Next::Event(position, happening) => Next::Happening(position, happening),
                feed::Next::Missed(count) => Next::Missed(count),
                feed::Next::Ended => Next::Ended,
            }
        })
    }
}
