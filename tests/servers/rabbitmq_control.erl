%% Read by file:script/1 once the server serves: whoever may open the socket beside this file has
%% an Erlang expression evaluated, and gets + and its value, or - and the reason why it has none.
Answer = fun(Text) ->
    try
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, erl_eval:new_bindings()),
        Said = if is_binary(Value) -> Value; true -> io_lib:format("~0tp", [Value]) end,
        unicode:characters_to_binary([$+, Said])
    catch
        _:Reason -> unicode:characters_to_binary(io_lib:format("-~0tp", [Reason]))
    end
end,
Serve = fun Serve(Listener) ->
    {ok, Link} = gen_tcp:accept(Listener),
    spawn(fun() ->
        case gen_tcp:recv(Link, 0) of
            {ok, Text} -> gen_tcp:send(Link, Answer(Text));
            {error, closed} -> ok
        end,
        gen_tcp:close(Link)
    end),
    Serve(Listener)
end,
spawn(fun() ->
    %% A killed server leaves it.
    file:delete("control"),
    Options = [binary, {ifaddr, {local, "control"}}, {packet, 4}, {active, false}],
    {ok, Listener} = gen_tcp:listen(0, Options),
    Serve(Listener)
end).
