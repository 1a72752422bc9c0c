//! What can go wrong, and when it does: each seed switches each kind on or off and draws its rate (swarm testing).

use std::fmt;

macro_rules! faults {
    ($($(#[doc = $words:literal])+ $name:ident: $often:expr,)+) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[doc = $words])+ $name),+ }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$name),+];

            /// What it is, as a sentence.
            pub fn words(self) -> &'static str {
                match self { $(Fault::$name => concat!($($words),+).trim_ascii()),+ }
            }

            /// The highest rate, where it is asked for.
            fn often(self) -> f32 {
                match self { $(Fault::$name => $often),+ }
            }
        }
    };
}

faults! {
    /// an instance dies before its commit is stored
    CrashBeforeCommit: 0.10,
    /// an instance dies after its commit, before anything is sent
    CrashAfterCommit: 0.10,
    /// an instance dies with a part of its messages sent
    CrashWhileSending: 0.08,
    /// an instance dies after sending, before it hears an acknowledgement
    CrashBeforeAck: 0.10,
    /// an instance stands still, in the middle of whatever it does, and wakes up later
    Freeze: 0.05,
    /// an instance stands still until others have taken its shards
    FreezeForLong: 0.03,
    /// an instance leaves and says so
    Leave: 0.03,
    /// the database refuses to answer a commit; nothing is stored
    CommitAway: 0.15,
    /// the connection breaks in a commit, which is stored
    UnknownStored: 0.08,
    /// the connection breaks in a commit, which is not stored
    UnknownLost: 0.08,
    /// the connection breaks in a commit, which is stored, or not, a while later
    UnknownOpen: 0.08,
    /// a commit takes long before it is stored
    SlowCommit: 0.15,
    /// the answer of a commit takes long after it is stored
    SlowAnswer: 0.15,
    /// the database refuses whatever one saga wants to store
    Poison: 0.04,
    /// a query of the database fails
    QueryFails: 0.08,
    /// a query of the database takes long
    SlowQuery: 0.08,
    /// acknowledgements are late
    LateAcks: 0.50,
    /// the messages on their way out are too many: no more sagas are taken in
    Backlog: 0.10,
    /// the broker does not say how far workers or replies are
    BrokerSilent: 0.20,
    /// the end of a reply partition is told late
    LateReplyEnd: 0.30,
    /// a command comes twice
    CommandTwice: 0.15,
    /// a command comes late, after others
    CommandLate: 0.20,
    /// garbage stands among the commands
    CommandGarbage: 0.08,
    /// a topic loses the commands that nobody has taken
    CommandsLost: 0.03,
    /// a reply never comes
    ReplyLost: 0.15,
    /// a reply comes twice
    ReplyTwice: 0.25,
    /// a reply comes late, after others
    ReplyLate: 0.30,
    /// a reply is garbage
    ReplyGarbage: 0.10,
    /// a reply with a wrong token, round or attempt stands among the replies
    ReplyForged: 0.08,
    /// a reply stands on a wrong partition
    ReplyMisplaced: 0.08,
    /// a worker dies before its effect
    WorkerDiesBefore: 0.08,
    /// a worker dies between its effect and its answer
    WorkerDiesAfter: 0.08,
    /// a worker freezes before its effect, is taken for dead, and goes on later
    WorkerFreezes: 0.06,
    /// a worker dies before it marks what it has done
    MarkLost: 0.10,
    /// a worker says RETRYABLE
    SaysRetry: 0.15,
    /// a worker says UNKNOWN, with or without an effect
    SaysUnknown: 0.12,
    /// a worker refuses what it could do
    SaysRejected: 0.10,
    /// a worker's ledger is away for a while, also in the middle of recording
    LedgerAway: 0.08,
    /// the fast memory of stock is emptied
    StockEmptied: 0.30,
    /// the database's clock jumps, forward or back
    ClockJumps: 0.03,
    /// an operator asks for something
    Operator: 0.12,
    /// an operator takes a request back
    Withdrawal: 0.05,
    /// a caller gives up and asks again, elsewhere
    CallerAgain: 0.10,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

const KINDS: usize = 64;

/// Which faults happen: a seed's choice, and what of it is kept when a failure is made smaller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kept {
    #[default]
    All,
    /// Only the ones with these numbers, in the order in which they would happen.
    Only(Vec<u32>),
}

/// All chance of one run.
pub struct Chance {
    pub rng: fastrand::Rng,
    rates: [f32; KINDS],
    kept: Kept,
    /// How many faults would have happened so far.
    count: u32,
    /// Those that did.
    pub hits: Vec<(u32, Fault)>,
    calm: bool,
}

impl Chance {
    /// The chance of a seed; some seeds have few kinds of faults, some many, a few none.
    pub fn new(seed: u64, kept: Kept) -> Self {
        // Seeds that follow each other are not to resemble each other.
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5A6A_5EED);
        let breadth = [0.0, 0.1, 0.2, 0.2, 0.35, 0.5][rng.usize(..6)];
        let mut rates = [0.0; KINDS];
        for fault in Fault::ALL {
            let on = rng.f32() < breadth;
            let rate = fault.often() * (0.2 + 0.8 * rng.f32());
            rates[*fault as usize] = if on { rate } else { 0.0 };
        }
        Self { rng, rates, kept, count: 0, hits: Vec::new(), calm: false }
    }

    /// Whether a fault of that kind happens here and now.
    pub fn hit(&mut self, fault: Fault) -> bool {
        let rate = self.rates[fault as usize];
        if self.calm || rate == 0.0 || self.rng.f32() >= rate {
            return false;
        }
        self.count += 1;
        let kept = match &self.kept {
            Kept::All => true,
            Kept::Only(numbers) => numbers.contains(&self.count),
        };
        if kept {
            self.hits.push((self.count, fault));
        }
        kept
    }

    /// Whether that kind may happen in this run.
    pub fn is_on(&self, fault: Fault) -> bool {
        self.rates[fault as usize] > 0.0
    }

    /// From now on nothing goes wrong.
    pub fn calm(&mut self) {
        self.calm = true;
    }

    /// True once in `n` times, and always once nothing goes wrong any more.
    pub fn goes_on(&mut self, n: u32) -> bool {
        self.calm || self.one_in(n)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }
}
