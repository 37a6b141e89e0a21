//! What all sessions share.

use crate::directory::Directory;
use crate::ops::delivery::{LocalDelivery, Policy};
use crate::store::Store;
use crate::text::network::Network;

/// The server.
#[derive(Clone)]
pub struct Server {
    /// The mail store.
    pub store: Store,
    /// Who exists.
    pub directory: Directory,
    /// The domain of users without a domain; may be empty.
    pub default_domain: String,
    /// What a delivery may do.
    pub policy: Policy,
    /// The name in greetings.
    pub hostname: String,
    /// Largest message, bytes.
    pub message_bytes: u64,
    /// Most recipients of a message; the rest is asked to come again.
    pub recipients_max: usize,
    /// Put Delivered-To before a message that has one recipient.
    pub delivered_to: bool,
    /// STARTTLS is to be had.
    pub starttls: bool,
    /// Mail systems that may say who their clients are (XCLIENT).
    pub trusted: Vec<Network>,
}

impl Server {
    /// Local delivery into the store.
    pub(super) fn delivery(&self) -> LocalDelivery<'_> {
        LocalDelivery {
            store: &self.store,
            directory: &self.directory,
            default_domain: self.default_domain.clone(),
            policy: self.policy.clone(),
        }
    }
}
