//! What a process publishes in the registry of counters.

use crate::config::Instance;
use crate::counter::{Counters, Object, Registry};
use crate::log::{self, Category};

/// One object and what was published last. A registry that cannot be written is told of once, and tried again.
#[derive(Debug)]
pub struct Published {
    instance: Instance,
    object: Option<Object>,
    registry: Option<Registry>,
    last: Counters,
    told: bool,
}

impl Published {
    /// The object of a service; one without an object publishes nothing.
    pub fn of(instance: &Instance, service: &str) -> Published {
        Published::object(instance, Object::of_service(service))
    }

    /// An object.
    pub fn object(instance: &Instance, object: impl Into<Option<Object>>) -> Published {
        let object = object.into();
        Published { instance: instance.clone(), object, registry: None, last: Vec::new(), told: false }
    }

    /// Publishes counters that have changed.
    pub fn publish(&mut self, counters: Counters, now_s: i64) {
        let Some(object) = self.object.filter(|_| counters != self.last) else { return };
        let done = match self.registry.take() {
            Some(registry) => Ok(registry),
            None => Registry::open_or_create(&self.instance.counters(), now_s),
        };
        let done = done.and_then(|registry| registry.publish(object, &counters, now_s).map(|()| registry));
        match done {
            Ok(registry) => {
                self.registry = Some(registry);
                self.last = counters;
                self.told = false;
            }
            Err(error) => {
                if !self.told {
                    let path = self.instance.counters();
                    log::error(
                        Category::Stats,
                        format!("the counters cannot be written to {}: {error}", path.display()),
                    );
                }
                self.told = true;
            }
        }
    }
}
