//! The machine's questions to the store and its long computations. The machine limits their number, and a
//! slow answer delays nothing else.
//!
//! Questions are polled by the gateway's task, and the store works elsewhere where it must wait: so a store
//! that has its answer at once costs no change of threads, and many answers at once wake the task once.
//! Computations and lists are tasks of the runtime of the control plane.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use narrowgate_gateway::{Answer, Decode, Diagnosis, Encode, OnlineOf, ProductRead, Token};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::{
        command::Command,
        credential::CredentialLookup,
        property::{Properties, PropertyKind},
    },
    ports::{
        Caller, Fault, FirmwareReads as _, ImagePiece, ImagePieceWanted, Images, NoScripts, OfferedUpgrade,
        Registry, Scripts, StoreError,
    },
};
use tokio::{runtime::Handle, task::JoinSet};

use super::together::Together;

/// An answer on its way.
#[derive(Debug)]
pub(super) enum Read {
    Lookup(Result<CredentialLookup, StoreError>),
    Product(Result<Option<ProductRead>, StoreError>),
    Properties(Result<Properties, StoreError>),
    OnlineOf(Result<Vec<DeviceId>, StoreError>),
    Commands(Result<Vec<Command>, StoreError>),
    Upgrades(Result<Vec<OfferedUpgrade>, StoreError>),
    ImagePiece(Result<Option<ImagePiece>, StoreError>),
    Diagnosed(Option<String>),
    Decoded(Result<String, Fault>),
    Encoded(Result<Vec<u8>, Fault>),
}

impl From<Read> for Answer<'static> {
    fn from(read: Read) -> Self {
        match read {
            Read::Lookup(answer) => Self::Lookup(answer),
            Read::Product(answer) => Self::Product(answer),
            Read::Properties(answer) => Self::Properties(answer),
            Read::OnlineOf(answer) => Self::OnlineOf(answer),
            Read::Commands(answer) => Self::Commands(answer),
            Read::Upgrades(answer) => Self::Upgrades(answer),
            Read::ImagePiece(answer) => Self::ImagePiece(answer),
            Read::Diagnosed(found) => Self::Diagnosed(found),
            Read::Decoded(decoded) => Self::Decoded(decoded),
            Read::Encoded(encoded) => Self::Encoded(encoded),
        }
    }
}

/// The questions in progress; see the module.
pub(super) struct Reads {
    registry: Arc<dyn Registry>,
    pub(super) scripts: Arc<dyn Scripts>,
    images: Arc<dyn Images>,
    /// Where computations run.
    runtime: Handle,
    questions: Together<Token, (Token, Read)>,
    computations: JoinSet<(Token, Read)>,
}

impl Reads {
    pub(super) fn new(registry: Arc<dyn Registry>, images: Arc<dyn Images>, runtime: Handle) -> Self {
        let (scripts, questions) = (Arc::new(NoScripts), Together::new());
        Self { registry, scripts, images, runtime, questions, computations: JoinSet::new() }
    }

    pub(super) fn look_up(&mut self, token: Token, name: DeviceName) {
        let registry = Arc::clone(&self.registry);
        let question = async move {
            (token, Read::Lookup(registry.credentials(&name.product_key, &name.device_key).await))
        };
        self.questions.push(token, question);
    }

    pub(super) fn read_product(&mut self, token: Token, product_key: String) {
        let registry = Arc::clone(&self.registry);
        let question = async move { (token, Read::Product(ProductRead::of(&*registry, &product_key).await)) };
        self.questions.push(token, question);
    }

    /// A script waits for its turn and runs in a process of its own.
    pub(super) fn decode(&mut self, token: Token, Decode { device, script, body, at }: Decode) {
        let (scripts, caller) = (Arc::clone(&self.scripts), Caller::Device(device));
        let question =
            async move { (token, Read::Decoded(scripts.decode(&script, &body, at, caller).await)) };
        self.questions.push(token, question);
    }

    pub(super) fn encode(&mut self, token: Token, Encode { device, script, json, at }: Encode) {
        let (scripts, caller) = (Arc::clone(&self.scripts), Caller::Device(device));
        let question =
            async move { (token, Read::Encoded(scripts.encode(&script, &json, at, caller).await)) };
        self.questions.push(token, question);
    }

    /// Drops a question. A script whose turn has not come is then not run.
    pub(super) fn give_up(&mut self, token: Token) {
        self.questions.remove(&token);
    }

    pub(super) fn read_properties(&mut self, token: Token, device: DeviceId, kind: PropertyKind) {
        let registry = Arc::clone(&self.registry);
        let question = async move { (token, Read::Properties(registry.properties(device, kind).await)) };
        self.questions.push(token, question);
    }

    /// A page of a list, like those that operators read: it may wait for a reader.
    pub(super) fn list_online(&mut self, token: Token, page: OnlineOf) {
        let registry = Arc::clone(&self.registry);
        let runtime = self.runtime.clone();
        let work = move || runtime.block_on(page.run(&*registry));
        let read = async move { (token, Read::OnlineOf(read_apart(work).await)) };
        self.computations.spawn_on(read, &self.runtime);
    }

    pub(super) fn read_commands(&mut self, token: Token, device: DeviceId) {
        let registry = Arc::clone(&self.registry);
        let question = async move { (token, Read::Commands(registry.open_commands(device).await)) };
        self.questions.push(token, question);
    }

    pub(super) fn read_upgrades(&mut self, token: Token, device: DeviceId) {
        let registry = Arc::clone(&self.registry);
        let question = async move { (token, Read::Upgrades(registry.upgrades_of(device).await)) };
        self.questions.push(token, question);
    }

    /// A block of an image, which the disk may have to be waited for: the store does that elsewhere.
    pub(super) fn read_piece(&mut self, token: Token, wanted: ImagePieceWanted) {
        let images = Arc::clone(&self.images);
        let question = async move { (token, Read::ImagePiece(images.read(wanted).await)) };
        self.questions.push(token, question);
    }

    /// Some hundred hashes, which may take milliseconds, on a thread where they delay nothing.
    pub(super) fn diagnose(&mut self, token: Token, diagnosis: Diagnosis) {
        let registry = Arc::clone(&self.registry);
        let runtime = self.runtime.clone();
        let work = move || runtime.block_on(diagnosis.run(&*registry));
        let read = async move {
            // A diagnosis that panicked has no result.
            let found = tokio::task::spawn_blocking(work).await.ok().flatten();
            (token, Read::Diagnosed(found))
        };
        self.computations.spawn_on(read, &self.runtime);
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Token, Read)> {
        if let Some(read) = self.questions.poll(context) {
            return Poll::Ready(read);
        }
        loop {
            match self.computations.poll_join_next(context) {
                Poll::Ready(Some(Ok(read))) => return Poll::Ready(read),
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, "a computation ended without a result");
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Reads on a thread where that delays nothing. A read that panics is one that failed: the machine waits for
/// an answer.
async fn read_apart<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_is_answered() {
        assert_eq!(read_apart(|| Ok(7)).await.ok(), Some(7));
        let failed = read_apart(|| -> Result<u8, _> { panic!("a bug of the store") }).await;
        assert!(failed.is_err_and(|error| error.to_string().contains("a bug of the store")));
    }
}
