//! stored's watch over disks and servers, on a thread of its own: what is slow here holds nothing up. What an alarm is, is in `ops::alarm`; when
//! a partition is locked, in `ops::disklock`.

mod disks;
mod mail;
mod probe;
pub mod published;
mod smtp;

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::disks::Disks;
use self::mail::Mail;
use self::published::Published;
use crate::config::{Conf, Instance};
use crate::counter::{Counters, Object, Registry, Value};
use crate::log::{self, Category, Level};
use crate::ops::alarm::notice::Notice;
use crate::ops::alarm::{Alarms, Settings, Step};
use crate::os::{clock, process};
use crate::store::Store;

/// The time between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);
/// How long the services have to start before they are asked, seconds.
const STARTING_S: i64 = 60;
/// How long the end of the thread is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The watch as stored has it.
#[derive(Debug)]
pub struct Watch {
    orders: Sender<Conf>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Looks at the disks, so that partitions that are full are locked before anybody delivers, then begins to watch.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(instance: &Instance, conf: &Conf, store: &Store) -> std::io::Result<Watch> {
        let mut turns = Turns::new(instance, conf, store, clock::now_s());
        let (orders, inbox) = mpsc::channel::<Conf>();
        let thread = thread::Builder::new().name("watch".into()).spawn(move || {
            loop {
                turns.tick(clock::now_s());
                match inbox.recv_timeout(TICK) {
                    Ok(conf) => turns.reload(&conf),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Watch { orders, thread })
    }

    /// Takes over a changed configuration.
    pub fn reload(&self, conf: &Conf) {
        // It is gone only when it ended in a bug, which the standard error of the service tells.
        drop(self.orders.send(conf.clone()));
    }

    /// Ends the watch. One that waits for a server is left behind.
    pub fn stop(self) {
        let Watch { orders, thread } = self;
        drop(orders);
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < PATIENCE {
            process::pause(Duration::from_millis(10));
        }
    }
}

/// What the thread works on.
struct Turns {
    instance: Instance,
    disk: Settings,
    response: Settings,
    targets: Vec<probe::Target>,
    mail: Mail,
    disks: Disks,
    alarms: Alarms,
    disk_due_s: i64,
    response_due_s: i64,
    told: Published,
    responses: Published,
    /// The clock of the last turn: one that was set back makes everything due.
    seen_s: i64,
}

impl Turns {
    fn new(instance: &Instance, conf: &Conf, store: &Store, now_s: i64) -> Turns {
        let before = Registry::open_or_create(&instance.counters(), now_s).and_then(|one| one.read(Object::Alarm));
        let alarms = before.ok().flatten().map(|snapshot| Alarms::restored(&snapshot)).unwrap_or_default();
        let (disk, response) = (Settings::disk(conf), Settings::response(conf));
        let mut disks = Disks::new(instance, conf, store);
        disks.look(now_s);
        Turns {
            instance: instance.clone(),
            disk_due_s: now_s,
            response_due_s: now_s.saturating_add(STARTING_S.min(response.interval_s)),
            disk,
            response,
            targets: probe::targets(conf),
            mail: Mail::new(instance, conf, store),
            disks,
            alarms,
            told: Published::object(instance, Object::Alarm),
            responses: Published::object(instance, Object::ServerResponse),
            seen_s: now_s,
        }
    }

    fn reload(&mut self, conf: &Conf) {
        (self.disk, self.response) = (Settings::disk(conf), Settings::response(conf));
        self.targets = probe::targets(conf);
        self.mail.reload(&self.instance, conf);
        self.disks.reload(conf);
        // Other intervals and thresholds hold from now on.
        let now_s = clock::now_s();
        self.disk_due_s = now_s;
        self.response_due_s = self.response_due_s.min(now_s.saturating_add(self.response.interval_s));
    }

    fn tick(&mut self, now_s: i64) {
        if now_s < self.seen_s {
            (self.disk_due_s, self.response_due_s) = (now_s, now_s);
            self.disks.look_now();
        }
        self.seen_s = now_s;
        let measure = self.disk.interval_s > 0 && now_s >= self.disk_due_s;
        if measure || self.disks.is_due(now_s) {
            for locked in self.disks.look(now_s) {
                self.mail.send(&locked, now_s);
            }
        }
        if measure {
            self.disk_due_s = now_s.saturating_add(self.disk.interval_s);
            let values: Vec<(String, u64)> = self.disks.percentages().collect();
            self.measured(&self.disk.clone(), values, now_s);
        }
        if self.response.interval_s > 0 && now_s >= self.response_due_s {
            let values = probe::ask(&self.instance, &self.targets, self.response.threshold);
            let end_s = clock::now_s();
            self.response_due_s = end_s.saturating_add(self.response.interval_s);
            self.responses.publish(responses(&values, end_s), end_s);
            self.measured(&self.response.clone(), values, end_s);
        }
    }

    /// Takes measurements of a kind, and warns.
    fn measured(&mut self, settings: &Settings, values: Vec<(String, u64)>, now_s: i64) {
        let names: Vec<String> = values.iter().map(|(name, _)| name.clone()).collect();
        self.alarms.keep(settings.id, &names);
        let base = self.instance.base().display().to_string();
        for (name, value) in values {
            let alarm = self.alarms.of(settings.id, &name);
            match alarm.measured(value, settings, now_s) {
                Step::Quiet => {}
                Step::Over => {
                    let words = format!("{} of \"{name}\" is {value}: back to normal", settings.description);
                    log::notice(Category::General, words);
                }
                Step::Warn => {
                    let notice = Notice::of(alarm, settings, &name, &base);
                    let words = format!("{}, {} threshold of {}", notice.words(), settings.side(), settings.threshold);
                    log::write(Level::Alert, Category::General, &words);
                    if self.mail.send(&notice, now_s) {
                        alarm.warned(now_s);
                    }
                }
            }
        }
        self.told.publish(self.alarms.counters(), now_s);
    }
}

fn responses(values: &[(String, u64)], now_s: i64) -> Counters {
    let mut all = Vec::new();
    for (name, seconds) in values {
        all.push((format!("{name}.laststattime"), Value::Time(now_s)));
        all.push((format!("{name}.responsetime"), Value::Number(*seconds)));
    }
    all
}
