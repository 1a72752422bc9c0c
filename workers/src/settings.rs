//! The settings of the sample workers.

use clap::Args;

use crate::shop::gateway::simulated::SuccessRate;
use crate::shop::stock::MAX_ON_HAND;

/// Settings of the shop, for the command line of `worker` and of `saga dev`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Shop")]
pub struct ShopArgs {
    /// Units of a product that is asked for the first time [default: it is refused as unknown, dev: 100]
    #[arg(long, env = "INVENTORY_DEFAULT_STOCK", value_name = "NUMBER", value_parser = default_stock)]
    inventory_default_stock: Option<i64>,

    /// Share of orders without a payment method whose payment succeeds, from 0 to 1 [default: 1, dev: 0.8]
    #[arg(long, env = "PAYMENT_SUCCESS_RATE", value_name = "SHARE", value_parser = success_rate)]
    payment_success_rate: Option<SuccessRate>,
}

/// Settings of the shop, complete.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ShopSettings {
    /// Units of a product that is asked for the first time; none if it is then refused as unknown.
    pub default_stock: Option<i64>,
    pub success_rate: SuccessRate,
}

impl ShopArgs {
    /// What was said, and what holds in a `worker` for the rest.
    pub fn for_worker(&self) -> ShopSettings {
        ShopSettings {
            default_stock: self.inventory_default_stock,
            success_rate: self.payment_success_rate.unwrap_or(SuccessRate::ALL),
        }
    }

    /// What was said, and what holds in `saga dev` for the rest.
    pub fn for_dev(&self) -> ShopSettings {
        ShopSettings {
            default_stock: Some(self.inventory_default_stock.unwrap_or(100)),
            success_rate: self.payment_success_rate.unwrap_or(SuccessRate::MOST),
        }
    }
}

fn default_stock(text: &str) -> Result<i64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (0..=MAX_ON_HAND).contains(n));
    number.ok_or_else(|| format!("write a whole number from 0 to {MAX_ON_HAND}"))
}

fn success_rate(text: &str) -> Result<SuccessRate, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = text.parse().ok().filter(|_| plain).and_then(SuccessRate::new);
    share.ok_or_else(|| "write a number from 0 to 1, such as 0.8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_shares() {
        assert_eq!(default_stock("0"), Ok(0));
        assert_eq!(default_stock("100"), Ok(100));
        for bad in ["", "-1", "+1", "1.5", "x", "4503599627370497", "99999999999999999999"] {
            assert!(default_stock(bad).is_err(), "{bad}");
        }
        assert_eq!(success_rate("1"), Ok(SuccessRate::ALL));
        assert_eq!(success_rate("0.8"), Ok(SuccessRate::MOST));
        for bad in ["", "-0.1", "1.01", "NaN", "inf", "1e0", "80%"] {
            assert!(success_rate(bad).is_err(), "{bad}");
        }
    }
}
