// A message for a Teams channel, through its workflow "When a Teams webhook request is received": an adaptive card with the event type and
// the payload's fields; or the variable `text`, filled in. Teams takes 28 KB; what is shown here stays below whatever the payload holds.

// Text runs know no markup, so nothing in a payload becomes a link or a mention.
const run = (text, more) => ({ type: "TextRun", text, ...more });
const paragraph = (...inlines) => ({ type: "RichTextBlock", inlines });

function handler(webhook) {
  const title = paragraph(run(cut(webhook.eventType, 256), { weight: "Bolder", size: "Medium" }));
  const template = variable(webhook, "text");
  let body;
  if (template !== undefined) {
    const text = filled(template, webhook, 5000);
    body = text === "" ? [title] : [paragraph(run(text))];
  } else {
    const { found, left } = fieldsOf(webhook.payload, 20);
    body = [title];
    for (const [name, value] of found) body.push(paragraph(run(`${cut(name, 60)}: `, { weight: "Bolder" }), run(cut(value, 230) || "\u2013")));
    if (left > 0) body.push(paragraph(run(`and ${left} more`, { isSubtle: true })));
  }
  const card = { $schema: "http://adaptivecards.io/schemas/adaptive-card.json", type: "AdaptiveCard", version: "1.4", body };
  webhook.payload = {
    type: "message",
    attachments: [{ contentType: "application/vnd.microsoft.card.adaptive", contentUrl: null, content: card }],
  };
  return webhook;
}
