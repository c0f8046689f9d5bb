/** The pages: each binds the models to the components that show them. */

import { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';
import { Activity } from './components/activity';
import { CloneForm } from './components/clone';
import { useTrans } from './components/context';
import { EnvironmentPage } from './components/environment';
import { HistoryList } from './components/history';
import { InstallForm } from './components/install';
import { Loading } from './components/message';
import { Packages } from './components/packages';
import { ProposalPage } from './components/proposal';
import { RevisionDetails } from './components/revision';
import { CommandIDs } from './commands';
import { EnvironmentModel } from './environment-model';
import { intentOf, requestText } from './intents';
import { PanelModel } from './model';
import { Navigation, Page, Tab } from './navigation';
import { Proposal } from './proposal';
import { HistoryEntry, Intent } from './types';

/** What pages are given: the models, and how to do more than they can. */
export interface Desk {
  model: PanelModel;
  navigation: Navigation;
  run(command: string, args?: Record<string, unknown>): void;
  menu(name: string, place: DOMRect): void;
  /** What was collected to be installed, by environment: a look elsewhere does not lose it. */
  drafts: Map<string, readonly string[]>;
}

/** A model of an environment for as long as its page is shown. */
function useEnvironment(model: PanelModel, name: string): EnvironmentModel {
  const [held, setHeld] = React.useState(() => new EnvironmentModel(model, name));
  React.useEffect(() => {
    let mine = held;
    if (held.isDisposed || held.name !== name) {
      mine = new EnvironmentModel(model, name);
      setHeld(mine);
    }
    void mine.load();
    void mine.loadAttempts();
    return () => mine.dispose();
  }, [model, name]);
  return held;
}

export function EnvironmentView(props: {
  desk: Desk;
  name: string;
  tab: Tab;
  /** The revision to open, and which one to compare it with. */
  revision?: number;
  from?: number;
}): React.JSX.Element {
  const { desk, name, tab, revision, from } = props;
  const environment = useEnvironment(desk.model, name);
  return (
    <UseSignal signal={desk.model.stateChanged}>
      {() => (
        <UseSignal signal={environment.stateChanged}>
          {() => <EnvironmentBody desk={desk} environment={environment} tab={tab} revision={revision} from={from} />}
        </UseSignal>
      )}
    </UseSignal>
  );
}

function EnvironmentBody(props: {
  desk: Desk;
  environment: EnvironmentModel;
  tab: Tab;
  revision: number | undefined;
  from: number | undefined;
}): React.JSX.Element {
  const { desk, environment, tab } = props;
  const { model, navigation, run } = desk;
  const { name, detail } = environment;
  const go = (next: Tab, revision?: number) =>
    navigation.go({ kind: 'environment', name, tab: next, ...(revision === undefined ? {} : { revision }) });
  const propose = (intent: Intent) => navigation.go({ kind: 'proposal', name, intent });
  const base = detail?.environment.base;
  const mine = model.builds.filter(build => build.environment === name && !build.preview);
  const running = mine.filter(build => build.state === 'running');
  const failed = mine.filter(build => build.state === 'failed' && build.operation === 'build').slice(0, 1);
  const isBase = detail?.environment.kind === 'base';
  return (
    <EnvironmentPage
      name={name}
      detail={detail}
      base={base ? model.environment(base.name) : undefined}
      running={running[0]}
      failed={failed.length}
      error={environment.error}
      isOnline={model.isOnline}
      tab={tab}
      actions={{
        back: () => navigation.back(),
        retry: () => {
          void model.refresh();
          void environment.load();
        },
        open: other => navigation.go({ kind: 'environment', name: other, tab: 'packages' }),
        select: next => go(next),
        install: () => run(CommandIDs.install, { name }),
        clone: () => run(CommandIDs.clone, { name }),
        notebook: () => run(CommandIDs.notebook, { name }),
        menu: place => desk.menu(name, place),
        cancel: build => void model.cancel(build.id)
      }}
    >
      {detail && tab === 'packages' && (
        <Packages
          packages={detail.head.packages}
          isBase={isBase}
          head={detail.head.number}
          byWhom={number => environment.entry(environment.length - number)?.author.name ?? null}
          actions={{
            upgrade: item => propose({ operation: 'upgrade', packages: [item] }),
            remove: item => propose({ operation: 'uninstall', packages: [item] }),
            upgradeAll: () => propose({ operation: 'upgrade' }),
            history: number => go('history', number)
          }}
        />
      )}
      {detail && tab === 'history' && (
        <HistoryList
          key={name}
          length={environment.length}
          head={detail.environment.head}
          filter={environment.filter}
          isFiltering={environment.isFiltering}
          reveal={props.revision}
          entry={index => environment.entry(index)}
          number={index => environment.number(index)}
          onSight={(first, last) => void environment.need(first, last)}
          onFilter={item => void environment.setFilter(item)}
          details={(entry: HistoryEntry) => (
            <RevisionDetails
              name={name}
              entry={entry}
              record={environment.known(entry.number)}
              from={entry.number === props.revision ? props.from : undefined}
              isHead={entry.number === detail.environment.head}
              isBase={isBase}
              environments={model.environments ?? []}
              actions={{
                need: number => void environment.record(number),
                restore: number => propose({ operation: 'restore', revision: number }),
                clone: number => navigation.go({ kind: 'clone', source: name, revision: number }),
                file: (number, kind) => model.service.file(name, number, kind),
                sideBySide: (from, to) => run(CommandIDs.sideBySide, { from: { ...from }, to: { ...to } }),
                compare: (from, to) =>
                  model.service.diff(from.name, {
                    from: from.revision,
                    to: to.revision,
                    ...(from.name === to.name ? {} : { other: to.name })
                  })
              }}
            />
          )}
        />
      )}
      {detail && tab === 'activity' && (
        <Activity
          running={running}
          failed={failed}
          attempts={environment.attempts}
          kernels={model.kernelsOf(name)}
          actions={{
            cancel: build => void model.cancel(build.id),
            canRetry: attempt => intentOf(attempt.operation, attempt.arguments) !== null,
            retry: attempt => {
              const intent = intentOf(attempt.operation, attempt.arguments);
              if (intent) {
                propose(intent);
              }
            },
            rebuild: () => run(CommandIDs.build, { name }),
            look: id => model.look(id, 500),
            log: attempt => model.service.attemptLog(name, attempt.id)
          }}
        />
      )}
    </EnvironmentPage>
  );
}

export function CloneView(props: { desk: Desk; page: Extract<Page, { kind: 'clone' }> }): React.JSX.Element {
  const { model, navigation } = props.desk;
  const { source, revision } = props.page;
  return (
    <UseSignal signal={model.stateChanged}>
      {() =>
        model.environments === null ? (
          <Loading />
        ) : (
          <CloneForm
            environments={model.environments}
            source={source}
            revision={revision}
            back={() => navigation.back()}
            clone={async asked => {
              const { name, description } = asked;
              const intent: Intent = { operation: 'clone', source: asked.source, description };
              const taken = await model.service.change(name, revision ? { ...intent, revision } : intent);
              model.expect(name);
              const following = model.follow(taken);
              if (taken.build) {
                // It goes on where it is seen; how it ends is told there.
                following.catch(() => undefined);
              } else {
                await following;
                await model.refresh();
              }
              navigation.go({ kind: 'list', current: name });
            }}
          />
        )
      }
    </UseSignal>
  );
}

export function InstallView(props: { desk: Desk; page: Extract<Page, { kind: 'install' }> }): React.JSX.Element {
  const { model, navigation, drafts } = props.desk;
  const { name, requirements = [] } = props.page;
  const environment = useEnvironment(model, name);
  return (
    <UseSignal signal={environment.stateChanged}>
      {() => (
        <InstallForm
          name={name}
          packages={environment.detail?.head.packages ?? []}
          requirements={requirements.length > 0 ? requirements : (drafts.get(name) ?? [])}
          onChange={specs => void drafts.set(name, specs)}
          search={query => model.service.search(query)}
          info={item =>
            model.service.package(item, environment.detail?.environment.python ?? model.about?.python ?? '')
          }
          preview={specs => {
            // Back leads to the list as it is now.
            navigation.replace({ kind: 'install', name, requirements: specs });
            navigation.go({ kind: 'proposal', name, intent: { operation: 'install', requirements: [...specs] } });
          }}
          back={() => navigation.back()}
        />
      )}
    </UseSignal>
  );
}

export function ProposalView(props: { desk: Desk; page: Extract<Page, { kind: 'proposal' }> }): React.JSX.Element {
  const trans = useTrans();
  const { model, navigation, drafts } = props.desk;
  const { name, intent } = props.page;
  const asked = JSON.stringify(intent);
  const [proposal, setProposal] = React.useState<Proposal | null>(null);
  React.useEffect(() => {
    const fresh = new Proposal(model, name, intent);
    const follow = () => {
      if (fresh.state === 'done' && fresh.outcome) {
        if (intent.operation === 'install') {
          drafts.delete(name);
        }
        navigation.finish({
          kind: 'environment',
          name,
          tab: 'history',
          revision: fresh.outcome.record.number
        });
      }
    };
    fresh.stateChanged.connect(follow);
    setProposal(fresh);
    void fresh.resolve();
    return () => fresh.leave();
  }, [model, name, asked]);
  if (!proposal) {
    return <Loading />;
  }
  const { title, request } = words(intent, trans);
  return (
    <UseSignal signal={model.stateChanged}>
      {() => (
        <UseSignal signal={proposal.stateChanged}>
          {() => (
            <ProposalPage
              name={name}
              title={title}
              request={request}
              head={model.environment(name)?.head}
              state={proposal.state}
              build={proposal.build}
              preview={proposal.preview}
              error={proposal.error}
              moved={proposal.moved}
              between={intent.operation === 'install' || intent.operation === 'uninstall' ? null : proposal.between}
              actions={{
                apply: message => void proposal.apply(message),
                again: () => void proposal.resolve(),
                cancel: () => {
                  if (proposal.build) {
                    void model.cancel(proposal.build.id);
                  }
                },
                back: () => navigation.back()
              }}
            />
          )}
        </UseSignal>
      )}
    </UseSignal>
  );
}

function words(intent: Intent, trans: TranslationBundle): { title: string; request: string } {
  const request = requestText(intent.operation, { ...intent });
  switch (intent.operation) {
    case 'install':
      return { title: trans.__('Install'), request };
    case 'uninstall':
      return { title: trans.__('Uninstall %1', request), request: '' };
    case 'upgrade':
      return request
        ? { title: trans.__('Upgrade %1', request), request: '' }
        : { title: trans.__('Upgrade all packages'), request: '' };
    case 'restore':
      return { title: trans.__('Restore %1', request), request: trans.__('a new revision with its packages') };
    default:
      return { title: intent.operation, request };
  }
}
