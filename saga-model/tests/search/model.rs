//! What is searched.

use std::hash::Hash;

/// Something that has a first state, and steps from one state to others.
pub trait Model: Sync {
    type State: Clone + Hash + Send;
    type Action: Copy;

    fn start(&self) -> Self::State;

    /// All steps from `state`, always in the same order.
    fn next(&self, state: &Self::State, steps: &mut Steps<Self>);

    /// What is wrong with a state that was reached for the first time.
    ///
    /// # Errors
    /// The property that is broken.
    fn check(&self, state: &Self::State) -> Result<(), Wrong>;

    /// A step as a line for people.
    fn tell(&self, from: &Self::State, action: Self::Action) -> String;
}

/// The steps from a state: each leads to a state or breaks a rule on its way.
pub struct Steps<M: Model + ?Sized> {
    pub(super) list: Vec<Step<M>>,
}

impl<M: Model + ?Sized> Default for Steps<M> {
    fn default() -> Self {
        Self { list: Vec::new() }
    }
}

impl<M: Model + ?Sized> Steps<M> {
    pub fn go(&mut self, action: M::Action, state: M::State) {
        self.list.push((action, Ok(state)));
    }

    pub fn broken(&mut self, action: M::Action, what: String) {
        self.list.push((action, Err(what)));
    }
}

/// What happens, and where it leads.
type Step<M> = (<M as Model>::Action, Result<<M as Model>::State, String>);

/// A property that does not hold.
#[derive(Debug)]
pub struct Wrong {
    pub what: String,
    /// How it comes to that from the state in which it is said, if that takes more steps.
    pub way: Vec<String>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, way: Vec::new() }
    }
}
