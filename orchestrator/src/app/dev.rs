//! `saga dev`.
use clap::Args;
use service::exit::Stop;

/// Settings of `saga dev`.
#[derive(Args, Debug)]
pub struct DevArgs {}

pub async fn dev(_args: DevArgs) -> Result<(), Stop> {
    Err(Stop::Failed("not yet".to_owned()))
}
