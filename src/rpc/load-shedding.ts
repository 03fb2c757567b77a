import type { DescMethod } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { CRITICALITY_FIELD, type Criticality, parseCriticality } from '#src/resilience/criticality.ts';
import type { LoadShedder } from '#src/resilience/load-shedder.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

/**
 * Throws if a call must not be served, because there are too many.
 *
 * @param field gives a header field of the request by its name in lower case.
 */
export type AdmitCall = (method: DescMethod, field: (name: string) => string | null | undefined) => void;

/**
 * Refuses calls under overload, the least critical first.
 *
 * @param options.exempt full names of services whose calls are always served, because operators need their answers.
 */
export function loadShedding(
  shedder: LoadShedder,
  options: { readonly exempt: ReadonlySet<string>; readonly onShed: (criticality: Criticality) => void },
): AdmitCall {
  return (method, field) => {
    if (!shedder.isShedding || options.exempt.has(method.parent.typeName)) return;
    const criticality = parseCriticality(field(CRITICALITY_FIELD));
    if (shedder.admits(criticality)) return;
    options.onShed(criticality);
    throw new OverloadedError('the service is overloaded: retry after a while');
  };
}

/** The stage for calls that go through connect-node. */
export function admission(admit: AdmitCall): Interceptor {
  return next => request => {
    admit(request.method, name => request.header.get(name));
    return next(request);
  };
}
