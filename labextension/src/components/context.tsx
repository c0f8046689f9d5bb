/** What every component may need and none should be handed: the translation, the clock, the language. */

import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

interface Screen {
  trans: TranslationBundle;
  locale: string | undefined;
}

/** One clock for all: hundreds of rows would else have one each. */
const ClockContext = React.createContext(0);
const STEP = 30_000;

const ScreenContext = React.createContext<Screen>({ trans: nullTranslator.load('envpanel'), locale: undefined });

export function ScreenProvider(props: Screen & { children: React.ReactNode }): React.JSX.Element {
  const { trans, locale, children } = props;
  const value = React.useMemo(() => ({ trans, locale }), [trans, locale]);
  const [now, setNow] = React.useState(Date.now);
  React.useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), STEP);
    return () => window.clearInterval(timer);
  }, []);
  return (
    <ScreenContext.Provider value={value}>
      <ClockContext.Provider value={now}>{children}</ClockContext.Provider>
    </ScreenContext.Provider>
  );
}

export function useTrans(): TranslationBundle {
  return React.useContext(ScreenContext).trans;
}

export function useLocale(): string | undefined {
  return React.useContext(ScreenContext).locale;
}

/** The time, in steps that suit "2 minutes ago". */
export function useNow(): number {
  // Something may be newer than the last step.
  return Math.max(React.useContext(ClockContext), Date.now() - STEP);
}
