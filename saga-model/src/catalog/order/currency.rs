//! The active currency codes of ISO 4217 (list one, as of 2026), without XTS (for tests) and XXX (no currency): nobody
//! can pay in them.

/// Whether `code` is an active alphabetic code of ISO 4217.
pub fn is_active(code: &str) -> bool {
    CODES.split_ascii_whitespace().any(|known| known == code)
}

const CODES: &str = "
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
    CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
    GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD
    XPF XPT XSU XUA YER ZAR ZMW ZWG";

#[cfg(test)]
mod tests {
    use super::is_active;

    #[test]
    fn active_codes_only() {
        for code in ["USD", "EUR", "JPY", "XCG", "ZWG"] {
            assert!(is_active(code), "{code}");
        }
        for code in ["usd", "XXX", "XTS", "ZZZ", "DEM", "HRK", "US", "", "USD EUR", "\n"] {
            assert!(!is_active(code), "{code:?}");
        }
    }
}
