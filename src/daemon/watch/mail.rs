//! Notices of alarms on their way: to the mail server, else into the store.

use super::smtp;
use crate::config::{Conf, Instance};
use crate::log::{self, Category};
use crate::ops::alarm::notice::{Address, Notice};
use crate::ops::delivery::{DeliveryError, LocalDelivery, Marks, Policy};
use crate::ops::instance::{host_name, open_directory};
use crate::store::Store;

pub(super) struct Mail {
    instance: Instance,
    conf: Conf,
    address: Address,
    store: Store,
    sent: u64,
}

impl Mail {
    pub(super) fn new(instance: &Instance, conf: &Conf, store: &Store) -> Mail {
        let (address, conf) = (Address::of(conf), conf.clone());
        Mail { instance: instance.clone(), conf, address, store: store.clone(), sent: 0 }
    }

    pub(super) fn reload(&mut self, instance: &Instance, conf: &Conf) {
        *self = Mail { sent: self.sent, ..Mail::new(instance, conf, &self.store) };
    }

    /// Hands a notice over; true: it got through. Where no mail server takes it, it goes into the mailbox of its receiver, if he is a user here.
    pub(super) fn send(&mut self, notice: &Notice, now_s: i64) -> bool {
        let host = host_name(&self.conf);
        self.sent += 1;
        let id = format!("alarm.{now_s}.{}.{}", std::process::id(), self.sent);
        let message = notice.message(&self.address, &id, &host, now_s);
        let Address { host: server, port, recipient, sender, .. } = &self.address;
        let failed = match smtp::send((server, *port), &host, (sender, recipient), &message) {
            Ok(()) => return true,
            Err(error) => error,
        };
        match self.deliver(&message, now_s) {
            Ok(user) => {
                let words =
                    format!("the alarm went into the mailbox of {user}: the mail server {server}:{port}: {failed}");
                log::warning(Category::General, words);
                true
            }
            Err(error) => {
                let words = format!(
                    "the alarm cannot be sent to {recipient}: the mail server {server}:{port}: {failed}; its mailbox: {error}"
                );
                log::error(Category::General, words);
                false
            }
        }
    }

    /// Into the receiver's mailbox: by the whole address, else by its local part in the default domain.
    fn deliver(&self, message: &[u8], now_s: i64) -> Result<String, DeliveryError> {
        let directory = open_directory(&self.instance, &self.conf);
        let default_domain = self.conf.string("local.defdomain");
        // An administrator is told though his quota is used up, and his partition locked.
        let policy = Policy { check_access: false, ignore_quota: true, ..Policy::default() };
        let delivery = LocalDelivery { store: &self.store, directory: &directory, default_domain, policy };
        let (local, domain) = self.address.recipient.rsplit_once('@').unwrap_or((&self.address.recipient, ""));
        let place = match delivery.place_of_address(local, domain, now_s) {
            Err(DeliveryError::NoUser(_)) => delivery.place_of_address(local, &delivery.default_domain, now_s),
            found => found,
        }?;
        let places = [place];
        let staged = delivery.stage_from(&places, b"", &mut &*message)?;
        for done in delivery.deliver(&staged, &Marks::default(), &places, now_s) {
            done?;
        }
        let [place] = places;
        Ok(place.userid)
    }
}
