struct Withdraw;

async fn handler(app: cqrs::App) {
    let _ = app.dispatch(Withdraw).await;
}

fn main() {}
