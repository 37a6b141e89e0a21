//! **Here**: the registry of counters, `data/counter/counter`: what each service counts, published about once a second, for `counterutil` and
//! for Prometheus ([`prometheus`]).
//! **Not here**: what is counted when (`daemon`), alarms (`ops::alarm`), sockets.
//! **Start**: [`Registry`], then [`service::Counts`].
//! **Rules**: one process writes an object, in a place of its own, with a checksum over it; nobody waits for anybody. Counting is one atomic
//! addition. What a process that is gone had open is not counted as open. A registry that cannot be written stops no service.
//! **Sources**: AdminRef counterutil; Administration Guide, counterutil (names of objects and counters).

pub mod prometheus;
mod registry;
pub mod service;

pub use registry::{Registry, Snapshot};

/// An object of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The alarms of stored.
    Alarm,
    /// The space of the partitions.
    DiskUsage,
    /// How long the servers take to answer.
    ServerResponse,
    /// The IMAP service.
    Imap,
    /// The POP service.
    Pop,
    /// The LMTP service (ours).
    Lmtp,
}

impl Object {
    /// All, in the order of their places.
    pub const ALL: [Object; 6] =
        [Object::Alarm, Object::DiskUsage, Object::ServerResponse, Object::Imap, Object::Pop, Object::Lmtp];

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Object::Alarm => "alarm",
            Object::DiskUsage => "diskusage",
            Object::ServerResponse => "serverresponse",
            Object::Imap => "imapstat",
            Object::Pop => "popstat",
            Object::Lmtp => "lmtpstat",
        }
    }

    /// The object of this name.
    pub fn find(name: &str) -> Option<Object> {
        Object::ALL.into_iter().find(|object| object.name() == name)
    }

    /// The object of a service by its name, `imap`.
    pub fn of_service(service: &str) -> Option<Object> {
        Object::find(&format!("{service}stat"))
    }

    /// The service whose object it is.
    pub fn service(self) -> Option<&'static str> {
        self.name().strip_suffix("stat")
    }
}

/// What a counter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A number of what is open now: 0 when the process is gone.
    Open(u64),
    /// Bytes.
    Bytes(u64),
    /// A moment, seconds since 1970; 0: never.
    Time(i64),
    /// Text of one line.
    Text(String),
}

impl Value {
    /// The number in it; `None`: it is text.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Number(number) | Value::Open(number) | Value::Bytes(number) => Some(*number),
            Value::Time(at_s) => Some(u64::try_from(*at_s).unwrap_or(0)),
            Value::Text(_) => None,
        }
    }
}

/// The counters of an object, by name: an instance (`global`, a partition, a server), a dot, what is counted.
pub type Counters = Vec<(String, Value)>;
