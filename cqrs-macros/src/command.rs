//! `derive(Command)`.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DataStruct, DeriveInput, Error, Fields, Ident, Path, Result, Type};

use crate::attributes::{CommandAttributes, krate};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = CommandAttributes::read(&input.attrs)?;
    let ident = &input.ident;
    if !input.generics.params.is_empty() {
        let advice = "a command cannot be generic: write `impl Command` by hand";
        return Err(Error::new(input.generics.span(), advice));
    }
    let krate = krate(attributes.krate.clone());
    let Some(aggregate) = &attributes.aggregate else {
        let advice =
            format!("`{ident}` has no destination: add `#[command(aggregate = Account, ..)]`");
        return Err(Error::new(ident.span(), advice));
    };
    let (conversions, id) = match &input.data {
        Data::Struct(data) => (TokenStream::new(), id_of_field(ident, data, &attributes)?),
        Data::Enum(data) => {
            if let Some(id) = &attributes.id {
                return Err(Error::new(id.span(), "the commands inside know their ids"));
            }
            let inner = inner_commands(data)?;
            (conversions(ident, &inner), id_of_inner(&krate, &inner))
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span(), "a union cannot be a command"));
        }
    };
    Ok(expand(ident, &krate, aggregate, &conversions, &id))
}

fn id_of_field(
    ident: &Ident,
    data: &DataStruct,
    attributes: &CommandAttributes,
) -> Result<TokenStream> {
    let Some(id) = &attributes.id else {
        let advice = format!(
            "`{ident}` does not say which one it is for: add `#[command(id = account_id)]` with \
             the field that holds the aggregate's id"
        );
        return Err(Error::new(ident.span(), advice));
    };
    if !data.fields.iter().any(|field| field.ident.as_ref() == Some(id)) {
        return Err(Error::new(id.span(), format!("`{ident}` has no field `{id}`")));
    }
    Ok(quote!(::core::clone::Clone::clone(&self.#id)))
}

fn inner_commands(data: &DataEnum) -> Result<Vec<(&Ident, &Type)>> {
    let mut seen = HashSet::new();
    let variants = data.variants.iter().map(|variant| {
        let one = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first(),
            Fields::Unnamed(_) | Fields::Named(_) | Fields::Unit => None,
        };
        let Some(field) = one else {
            let advice = format!("`{0}` must hold one command struct: `{0}(..)`", variant.ident);
            return Err(Error::new(variant.span(), advice));
        };
        if !seen.insert(field.ty.to_token_stream().to_string()) {
            let advice = "this command stands in the enum already";
            return Err(Error::new(field.ty.span(), advice));
        }
        Ok((&variant.ident, &field.ty))
    });
    variants.collect()
}

fn conversions(ident: &Ident, inner: &[(&Ident, &Type)]) -> TokenStream {
    let each = inner.iter().map(|(variant, command)| {
        quote! {
            #[automatically_derived]
            impl ::core::convert::From<#command> for #ident {
                fn from(command: #command) -> Self {
                    Self::#variant(command)
                }
            }
        }
    });
    quote!(#(#each)*)
}

fn id_of_inner(krate: &Path, inner: &[(&Ident, &Type)]) -> TokenStream {
    let arms = inner.iter().map(
        |(variant, _)| quote!(Self::#variant(command) => #krate::Command::aggregate_id(command)),
    );
    quote!(match self { #(#arms,)* })
}

fn expand(
    ident: &Ident,
    krate: &Path,
    aggregate: &Path,
    conversions: &TokenStream,
    id: &TokenStream,
) -> TokenStream {
    quote! {
        #conversions

        #[automatically_derived]
        impl #krate::Command for #ident {
            type Aggregate = #aggregate;

            fn aggregate_id(&self) -> <#aggregate as #krate::Aggregate>::Id {
                #id
            }
        }
    }
}
