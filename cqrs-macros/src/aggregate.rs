//! `#[aggregate(..)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, ImplItem, ImplItemFn, ItemImpl, LitStr, Path, PathArguments,
    Result, ReturnType, Type, parse_quote,
};

use crate::attributes::{CATEGORY_RULE, krate, set, set_crate, unknown};

/// The arguments of the attribute.
#[derive(Default)]
pub(crate) struct AggregateAttributes {
    category: Option<LitStr>,
    id: Option<Type>,
    krate: Option<Path>,
}

impl AggregateAttributes {
    pub(crate) fn parse(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("category") {
            set(&mut self.category, meta, meta.value()?.parse()?)
        } else if meta.path.is_ident("id") {
            set(&mut self.id, meta, meta.value()?.parse()?)
        } else if meta.path.is_ident("crate") {
            set_crate(&mut self.krate, meta)
        } else {
            Err(unknown(meta, &["category", "id", "crate"]))
        }
    }
}

pub(crate) fn expand(attributes: &AggregateAttributes, mut item: ItemImpl) -> Result<TokenStream> {
    let AggregateAttributes { category: Some(category), id: Some(id), .. } = attributes else {
        let message = "`category` or `id` is missing: write `#[aggregate(category = \"account\", id = AccountId)]`";
        return Err(Error::new(item.self_ty.span(), message));
    };
    if item.trait_.is_none() {
        let message = "`#[aggregate(..)]` needs a trait: write it on `impl Aggregate for ..`";
        return Err(Error::new(item.self_ty.span(), message));
    }
    let (command, event, error) = types(&item)?;
    let krate = krate(attributes.krate.clone());
    let given: [ImplItem; 5] = [
        parse_quote!(const CATEGORY: &'static str = #category;),
        parse_quote!(type Id = #id;),
        parse_quote!(type Command = #command;),
        parse_quote!(type Event = #event;),
        parse_quote!(type Error = #error;),
    ];
    item.items.splice(0..0, given);
    let check = quote_spanned! {category.span()=>
        const _: () = ::core::assert!(
            #krate::private::is_category(#category),
            #CATEGORY_RULE,
        );
    };
    Ok(quote!(#item #check))
}

/// Returns the types of command, event and error in the signature of `execute`.
fn types(item: &ItemImpl) -> Result<(Type, Type, Type)> {
    let execute = item.items.iter().find_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == "execute" => Some(function),
        _ => None,
    });
    let Some(execute) = execute else {
        let message = "`execute` is missing: write `fn execute(&self, command: Command) -> Result<Vec<Event>, Error>`";
        return Err(Error::new(item.self_ty.span(), message));
    };
    signature(execute).ok_or_else(|| {
        let message = "`#[aggregate(..)]` reads the types from this signature: write \
                      `fn execute(&self, command: Command) -> Result<Vec<Event>, Error>` with the \
                      names of your types";
        Error::new(execute.sig.span(), message)
    })
}

fn signature(execute: &ImplItemFn) -> Option<(Type, Type, Type)> {
    let FnArg::Typed(command) = execute.sig.inputs.iter().nth(1)? else { return None };
    let ReturnType::Type(_, result) = &execute.sig.output else { return None };
    let [events, error] = arguments(result, "Result")?.try_into().ok()?;
    let [event] = arguments(&events, "Vec")?.try_into().ok()?;
    let named = [&*command.ty, &event, &error];
    let is_given = named.iter().all(|ty| !quote!(#ty).to_string().starts_with("Self"));
    is_given.then(|| ((*command.ty).clone(), event, error))
}

/// Returns the type arguments of a path that ends in `name`.
fn arguments(ty: &Type, name: &str) -> Option<Vec<Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    types.collect()
}
