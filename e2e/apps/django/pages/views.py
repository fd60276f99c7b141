import django
from django.shortcuts import render


def home(request):
    return render(request, "pages/home.html", {"version": django.get_version()})
