//! `derive(ReadModel)`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Error, Result};

use crate::attributes::{ReadModelAttributes, krate, version_or_one};

const NAME_RULE: &str = "the name of a read model must have 1 to 32 lower-case letters, digits and \
    underscores, and start with a letter: write `daily_sales` instead of `Daily-Sales`";

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = ReadModelAttributes::parse(&input.attrs)?;
    let ident = &input.ident;
    let (Some(name), Some(event)) = (&attributes.name, &attributes.event) else {
        let missing = if attributes.name.is_none() { "name" } else { "event" };
        let message = format!(
            "`{ident}` has no `{missing}`: write `#[read_model(name = \"balances\", version = 1, \
             event = AccountEvent)]`"
        );
        return Err(Error::new(ident.span(), message));
    };
    let krate = krate(attributes.krate);
    let version = version_or_one(attributes.version.as_ref())?;
    let key = attributes.key.map(|key| {
        quote! {
            fn key(&self) -> #krate::projection::Key<Self::Event> {
                #krate::projection::Key::by(#key)
            }
        }
    });
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    // A constant outside the impl: `cargo check` evaluates it, unlike the constants of a trait.
    let check = quote_spanned! {name.span()=>
        const _: () = ::core::assert!(#krate::private::is_consumer_name(#name), #NAME_RULE);
    };
    Ok(quote! {
        #[automatically_derived]
        impl #generics #krate::ReadModel for #ident #arguments #conditions {
            type Event = #event;
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
            #key
        }

        #check
    })
}
