//! The definitions that this instance knows, by the row that sagas pin and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use saga_model::Definition;

use crate::store::rows::DefinitionId;
use crate::store::{Result, Store};

/// All known definitions; sagas of any of them can be run.
#[derive(Debug, Default)]
pub struct Definitions {
    inner: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<DefinitionId, Arc<Definition>>,
    /// What new sagas of a name are started with.
    active: BTreeMap<String, (DefinitionId, Arc<Definition>)>,
}

impl Definitions {
    /// Pins `active` in the store and learns all that were ever pinned.
    ///
    /// # Errors
    /// If another definition was used under the same name and version, or the store is away.
    pub async fn pin(store: &dyn Store, active: Vec<Definition>) -> Result<Self> {
        let definitions = Self::default();
        for definition in active {
            let id = store.pin_definition(&definition).await?;
            let entry = (id, Arc::new(definition));
            definitions.write().active.insert(entry.1.name().to_owned(), entry);
        }
        definitions.refresh(store).await?;
        Ok(definitions)
    }

    /// Learns the definitions that other instances have pinned since.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn refresh(&self, store: &dyn Store) -> Result<()> {
        let all = store.definitions().await?;
        let mut known = self.write();
        for (id, definition) in all {
            known.by_id.entry(id).or_insert_with(|| Arc::new(definition));
        }
        Ok(())
    }

    /// The definition that a saga pins.
    pub fn get(&self, id: DefinitionId) -> Option<Arc<Definition>> {
        self.read().by_id.get(&id).cloned()
    }

    /// What a new saga of that name is started with.
    pub fn active(&self, name: &str) -> Option<(DefinitionId, Arc<Definition>)> {
        self.read().active.get(name).cloned()
    }

    /// All active definitions, in order of name.
    pub fn all_active(&self) -> Vec<Arc<Definition>> {
        self.read().active.values().map(|(_, definition)| definition.clone()).collect()
    }

    // A map is replaced entry by entry: a panic elsewhere cannot leave it half changed.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
