// Runs one handler and says what came of it in parts of plain text. What it needs is taken before the handler's code can replace it.
// run(code, given, payload) answers true, or false while a promise is pending; run(null, n) is the n-th part:
// "OK", what was returned but the payload, the payload; or a code of TransformationError, a sentence, a stack.
(() => {
  const { parse, stringify } = JSON, { isArray } = Array, { apply } = Reflect, { then } = Promise.prototype, { slice } = String.prototype;
  const evaluate = eval, text = String, AnyError = Error, InternalFault = InternalError, BadSyntax = SyntaxError, AnyPromise = Promise;
  const exhausted = ["MEMORY", "", ""];
  let parts = null;

  const fail = (code, error) => {
    // Without memory for an error, the engine throws null.
    if (error === null || error instanceof InternalFault) {
      parts = exhausted;
      return;
    }
    let sentence = "something was thrown that cannot be shown", stack = "";
    try {
      sentence = apply(slice, text(error), [0, 300]);
      if (error instanceof AnyError) stack = apply(slice, text(error.stack), [0, 1000]);
    } catch (_) {}
    parts = [code, sentence, stack];
  };

  const tell = (made) => {
    if (typeof made !== "object" || made === null || isArray(made)) {
      const what = made === null ? "null" : isArray(made) ? "a list" : typeof made === "undefined" ? "nothing" : "a " + typeof made;
      parts = ["BAD_OUTPUT", "handler returned " + what + " instead of the webhook", ""];
      return;
    }
    try {
      const { method, url, headers, cancel, payload } = made;
      parts = ["OK", stringify({ method, url, headers, cancel }), cancel === true ? "" : stringify(payload)];
      if (parts[2] === undefined) parts = ["BAD_OUTPUT", "the payload that handler returned is not JSON: " + typeof payload, ""];
    } catch (error) {
      fail("BAD_OUTPUT", error);
    }
  };

  return function sandboxed(code, given, payload) {
    if (code === null) return parts === null ? null : parts[given];
    let handler, made;
    try {
      handler = evaluate(code + "\n;typeof handler === 'function' ? handler : null");
    } catch (error) {
      fail(error instanceof BadSyntax ? "SYNTAX" : "THREW", error);
      return true;
    }
    if (handler === null) {
      parts = ["NO_HANDLER", "the code has no function handler(webhook)", ""];
      return true;
    }
    const webhook = parse(given);
    try {
      webhook.payload = parse(payload);
    } catch (error) {
      if (!(error instanceof BadSyntax)) {
        fail("THREW", error);
        return true;
      }
      webhook.payload = payload; // what came in by an inbound URL need not be JSON
    }
    try {
      made = handler(webhook);
    } catch (error) {
      fail("THREW", error);
      return true;
    }
    if (made instanceof AnyPromise) apply(then, made, [tell, (error) => fail("THREW", error)]);
    else tell(made);
    return parts !== null;
  };
})()
