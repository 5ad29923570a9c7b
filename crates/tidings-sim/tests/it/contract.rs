//! The model keeps the contract of engines, like every real one: what the simulator shows of hubs over the model is
//! worth as much as that.

use std::cell::Cell;

use tidings_cluster::engine::Engine;
use tidings_contract::{Fault, Possible, Rig, Step, check_all};
use tidings_sim::cluster::engine::ModelEngine;
use tidings_sim::cluster::model::Model;

#[test]
fn the_model_keeps_the_contract() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime");
    runtime.block_on(check_all(&mut ModelRig::new()));
}

struct ModelRig {
    engine: ModelEngine,
    now_ms: Cell<u64>,
}

impl ModelRig {
    fn new() -> Self {
        let rig = Self {
            engine: ModelEngine::new(Model::new(None)),
            now_ms: Cell::new(1_800_000_000_000),
        };
        rig.tick();
        rig
    }

    fn tick(&self) {
        self.now_ms.set(self.now_ms.get() + MOMENT_MS);
        self.engine.with(|model| model.set_clock(self.now_ms.get()));
    }
}

impl Rig for ModelRig {
    fn fresh(&mut self) {
        self.engine = ModelEngine::new(Model::new(None));
        self.tick();
    }

    fn engine(&self) -> Box<dyn Engine> {
        Box::new(self.engine.clone())
    }

    fn fault(&self, fault: Fault) -> Step<'_, Possible> {
        let possible = self.engine.with(|model| match fault {
            Fault::LoseTail { last } => {
                model.lose_tail(last);
                Possible::Yes
            }
            Fault::LoseEverything => {
                model.forget();
                Possible::Yes
            }
            // The end is a part of the line here.
            Fault::LoseHead => Possible::No,
            Fault::EndBehind { entries } => {
                model.end_behind(entries);
                Possible::Yes
            }
            Fault::Trim { oldest } => {
                model.trim_before(oldest);
                Possible::Yes
            }
        });
        Box::pin(std::future::ready(possible))
    }

    fn moment(&self) -> Step<'_, ()> {
        self.tick();
        Box::pin(tokio::task::yield_now())
    }
}

/// What a moment is on the model's clock.
const MOMENT_MS: u64 = 20;
