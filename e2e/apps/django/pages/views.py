import os

import django
from django.shortcuts import render

OF_THE_BUILDPACK = ["DYNO_RAM", "WEB_CONCURRENCY", "WEB_CONCURRENCY_SET_BY", "GUNICORN_CMD_ARGS"]


def home(request):
    environment = {name: os.environ.get(name) for name in OF_THE_BUILDPACK}
    facts = {"version": django.get_version(), "scheme": request.scheme, "environment": environment}
    return render(request, "pages/home.html", facts)
