// The panel that lists the first steps and leads to their tabs.
import { Button, useEditorContext, useExecutionContext } from '@graphiql/react';

import { operationName, startOver } from './storage.js';

const Icon = () => (
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
    <path d="M10 5h11M10 12h11M10 19h11M3 5l1.5 1.5L7 4M3 12l1.5 1.5L7 11M3 19l1.5 1.5L7 18" />
  </svg>
);

function Steps({ steps }) {
  const { tabs, activeTabIndex, changeTab } = useEditorContext({ nonNull: true });
  const { stop } = useExecutionContext({ nonNull: true });
  const open = (index) => {
    stop();
    changeTab(index);
  };
  return (
    <div className="steps">
      <h2 className="steps-title">First steps</h2>
      <p>From nothing to a delivered webhook. Each step is a tab: read its comments, run it with Ctrl+Enter, go on.</p>
      <ol>
        {steps.map((step) => {
          const index = tabs.findIndex((tab) => tab.title === operationName(step.query));
          return (
            <li key={step.title}>
              <button
                type="button"
                className="steps-step"
                aria-current={index === activeTabIndex ? 'step' : undefined}
                disabled={index < 0}
                onClick={() => open(index)}
              >
                {step.title}
                {index < 0 && ' (closed)'}
              </button>
            </li>
          );
        })}
      </ol>
      <p>
        A running subscription ends when you change tabs. <a href="/graphiql" target="_blank" rel="noopener">Open a second window</a> to
        watch in one and send in the other.
      </p>
      <Button type="button" onClick={startOver}>
        Start over with fresh tabs
      </Button>
    </div>
  );
}

/** The plugin, for the steps of the configuration. */
export const stepsPlugin = (steps) => ({ title: 'First steps', icon: Icon, content: () => <Steps steps={steps} /> });
